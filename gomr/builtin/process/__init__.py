"""Runs a task as a process of this machine: forked from a fork server, or executed anew."""

import atexit
import signal
from typing import Any

from gomr.builtin.process.pool import NotForked, ServerPool
from gomr.builtin.process.watch import run_once, watch
from gomr.hookspecs import Launch, Program, hookimpl
from gomr.logs import log

_pool = ServerPool()
atexit.register(_pool.close)


@hookimpl(trylast=True)
def gomr_run_task(launch: Launch) -> int | None:
    """Run the task in a fresh process; every task is this plugin's. Raises OSError where none can be started.

    A fork server that cannot fork is not believed: it belongs to the job. The worker then tries to start a process.
    """
    if launch.program.serve:
        server = _pool.acquire(launch)
        if server is None and launch.stop.is_set():
            return -signal.SIGKILL
        if server is not None:
            try:
                return watch(server.start(launch), launch)
            except NotForked as error:
                log.warning("serve.not_forked", digest=launch.program.digest, reason=str(error))
            finally:
                _pool.release(server)
    return run_once(launch)


def describe(program: Program) -> dict[str, Any] | None:
    """Start the executable's fork server, unless there is one; return what it says of itself, if anything."""
    return _pool.describe(program)


@hookimpl(trylast=True)
def gomr_prepare(program: Program) -> bool:
    """Start the executable's fork server in the background."""
    if program.serve:
        _pool.prepare(program)
    return True
