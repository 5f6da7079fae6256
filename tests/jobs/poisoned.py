import os
import signal


def mapper(line):
    if line.startswith("bad"):
        raise ValueError(f"cannot read {line!r}")
    if line.startswith("deadly"):
        os.kill(os.getpid(), signal.SIGKILL)
    yield line, 1


def reducer(line, counts):
    yield line, sum(counts)
