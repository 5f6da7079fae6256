"""Never ends."""

import time


def mapper(line):
    time.sleep(3600)
    yield line, 1
