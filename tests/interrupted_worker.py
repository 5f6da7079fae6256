"""A worker that kills itself with SIGKILL just before or after its n-th call of one kind; a script for test_faults.

python interrupted_worker.py before|after transact|put|launch N WORKER_ARGUMENTS...
"""

import itertools
import os
import signal
import sys
from typing import Any

from gomr.builtin import process
from gomr.builtin.file import FileStorage
from gomr.builtin.sqlite import SqliteCoordinator
from gomr.cli.main import main

POINTS = {
    "transact": (SqliteCoordinator, "transact"),
    "put": (FileStorage, "put_file"),
    "create": (FileStorage, "create"),
    "launch": (process, "watch"),
}


def interrupt(when: str, point: str, number: int) -> None:
    owner, name = POINTS[point]
    real = getattr(owner, name)
    calls = itertools.count(1)

    def replacement(*arguments: Any, **options: Any) -> Any:
        last = next(calls) == number
        if last and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        result = real(*arguments, **options)
        if last:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(owner, name, replacement)


if __name__ == "__main__":
    interrupt(sys.argv[1], sys.argv[2], int(sys.argv[3]))
    sys.argv[1:] = sys.argv[4:]
    main()
