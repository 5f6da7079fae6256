"""A gomr command that ends itself with SIGKILL at a named point: python -m tests.chaos.doomed POINT NTH ARGUMENTS..."""

import functools
import os
import signal
import sys
from collections.abc import Callable
from importlib import import_module
from itertools import count
from typing import Any

from gomr.scheduling import intents

LEFT_SECONDS = 15.0  # for which the intent of a command that died stands; a user's stands for five minutes
BEFORE, AFTER = "before", "after"
WORKER_POINTS = {
    "before a claim": ("gomr.scheduling.claims:Claims._try", BEFORE),
    "after a claim": ("gomr.scheduling.claims:Claims._try", AFTER),
    "before a task's process": ("gomr.worker.process_executor:ProcessExecutor._run_process", BEFORE),
    "before an upload": ("gomr.patience:PatientStorage.put_file", BEFORE),
    "after an upload": ("gomr.patience:PatientStorage.put_file", AFTER),
    "before a commit": ("gomr.scheduling.attempts:commit", BEFORE),
    "after a commit": ("gomr.scheduling.attempts:commit", AFTER),
    "between commit and fold": ("gomr.scheduling.attempts:fold", BEFORE),
    "after a chunk's or stage's object": ("gomr.patience:PatientStorage.create", AFTER),
    "between fold and close": ("gomr.scheduling.stages:close", BEFORE),
    "after a close": ("gomr.scheduling.stages:close", AFTER),
    "at a heartbeat": ("gomr.scheduling.membership:Membership._is_there", BEFORE),
}
SUBMIT_POINTS = {
    "after the intent": ("gomr.scheduling.intents:Intent.__init__", AFTER),
    "before the job opens": ("gomr.scheduling.submit:_open_job", BEFORE),
    "after the job opens": ("gomr.scheduling.submit:_open_job", AFTER),
}
DELETION_POINTS = {
    "before a deletion": ("gomr.scheduling.control:delete_objects", BEFORE),
    "after a deletion": ("gomr.scheduling.control:delete_objects", AFTER),
}
POINTS = {**WORKER_POINTS, **SUBMIT_POINTS, **DELETION_POINTS}


def doom(point: str, nth: int) -> None:
    """Have this process die when it comes to a point for the nth time."""
    place, when = POINTS[point]
    module_name, _, path = place.partition(":")
    owner: Any = import_module(module_name)
    *owners, name = path.split(".")
    for part in owners:
        owner = getattr(owner, part)
    setattr(owner, name, _doomed(getattr(owner, name), when, nth))


def _doomed(function: Callable[..., Any], when: str, nth: int) -> Callable[..., Any]:
    passages = count(1)

    @functools.wraps(function)
    def act(*arguments: Any, **options: Any) -> Any:
        is_last = next(passages) == nth
        if is_last and when == BEFORE:
            os.kill(os.getpid(), signal.SIGKILL)
        result = function(*arguments, **options)
        if is_last:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    return act


if __name__ == "__main__":
    intents.INTENT_SECONDS = LEFT_SECONDS
    doom(sys.argv[1], int(sys.argv[2]))
    sys.argv[1:3] = []
    import_module("gomr.cli.main").main()
