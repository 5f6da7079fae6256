"""Tells what a job's process can see."""

import os
from pathlib import Path


def mapper(line):
    for name, value in sorted(os.environ.items()):
        yield f"env {name}", value
    pid = os.getppid()
    while pid > 1:
        try:
            content = Path(f"/proc/{pid}/environ").read_bytes()
        except OSError as error:
            content = f"refused: {error.strerror}".encode()
        yield f"parent {pid}", content.replace(b"\0", b" ").decode("utf-8", "replace")
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
