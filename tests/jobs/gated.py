"""Word count whose map tasks wait for a file that the test makes, and say so."""

import sys
import time
from pathlib import Path

from gomr import param, total

params = {"gate": ""}
reducer = total


def mapper(line):
    if line.startswith("boom"):
        raise ValueError(f"cannot parse {line!r}")
    print("INFO at <b>the gate</b> with", line, file=sys.stderr, flush=True)
    while param("gate") and not Path(param("gate")).exists():
        time.sleep(0.05)
    print("WARNING behind the gate", file=sys.stderr, flush=True)
    for word in line.split():
        yield word, 1
