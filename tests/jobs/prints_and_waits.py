import pathlib
import time

import gomr

params = {"gate": ""}


def mapper(line):
    print("printed before the end", flush=True)
    while not pathlib.Path(gomr.param("gate")).exists():
        time.sleep(0.05)
    print("printed at the end")
    yield line, 1
