"""Starts a thread at import, which makes forking unsafe."""

import threading
import time

threading.Thread(target=time.sleep, args=(3600,), daemon=True).start()


def mapper(line):
    yield line, 1
