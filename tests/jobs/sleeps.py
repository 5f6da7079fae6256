"""Each line is a task's time; leaves its process ids, and those of a grandchild, in a folder."""

import os
import subprocess
import time
from pathlib import Path

import gomr

params = {"folder": "", "seconds": 0.2, "grandchild": False}


def mapper(line):
    folder = Path(gomr.param("folder"))
    (folder / f"child-{os.getpid()}").touch()
    if gomr.param("grandchild"):
        process = subprocess.Popen(["sleep", "3600"], start_new_session=True)
        (folder / f"grandchild-{process.pid}").touch()
    time.sleep(gomr.param("seconds"))
    gomr.count("lines")
    for word in line.split():
        yield word, 1


def reducer(word, counts):
    yield word, sum(counts)
