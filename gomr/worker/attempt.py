"""One attempt at one task, as the protocol sees it: execute, commit; or say how it failed."""

import time
from collections.abc import Callable
from enum import Enum
from typing import Any

from gomr.errors import CoordinatorError, Denied, DiskFull, StorageError, Unavailable
from gomr.executables import ExecutableRefused
from gomr.job.errors import HOST_ERRNOS
from gomr.logs import log
from gomr.scheduling import attempts, keys
from gomr.scheduling.claims import Bid, Claim
from gomr.scheduling.cluster import Cluster
from gomr.worker.executor import Executor, Running
from gomr.worker.fetch import InputError
from gomr.worker.losses import Losses
from gomr.worker.machine import MachineUnfit
from gomr.worker.outcome import TaskFailed


class Next(Enum):
    """What a slot is to do after an attempt."""

    GO_ON = "go on"
    REST = "rest"  # this machine cannot run tasks now, or the storage denies it something: others may have better luck
    LEAVE = "leave"  # this machine cannot run tasks, and that does not mend itself: its disk is full


class AttemptRunner:
    """Runs attempts for the slots of one worker. Safe for several threads."""

    def __init__(self, cluster: Cluster, executor: Executor, next_bid: Callable[[Claim], Bid | None]) -> None:
        self._cluster = cluster
        self._executor = executor
        self._next_bid = next_bid
        self.done, self.failed = 0, 0  # attempts so far, for those who look: not exact
        self.losses = Losses()

    def run(self, running: Running) -> Next:
        """Run the attempt to its end; return what to do after it."""
        claim = running.claim
        if attempts.too_many_losses(claim):
            message = (
                f"{claim.record.losses} workers died, lost touch or had no memory left while they ran this task; "
                "--max-losses allows more"
            )
            attempts.fail(self._cluster, claim, {"kind": "lost", "message": message}, final=True)
            return Next.GO_ON
        try:
            return self._run(running)
        except CoordinatorError as error:  # what we did, or did not, is the next worker's to find
            log.warning("task.abandoned", error=str(error))
            return Next.GO_ON
        except Exception as error:  # a fault in gomr or a plugin: it must not end one worker after the other
            log.exception("task.failed")
            message = f"the worker failed, not the job: {type(error).__name__}: {error}"
            self._fail(claim, {"kind": "host", "message": message})
            return Next.GO_ON

    def _run(self, running: Running) -> Next:
        claim = running.claim
        try:
            self._attempt(running)
        except MachineUnfit as error:
            running.unfit = error.reason
            attempts.give_back(self._cluster, claim)
            log.error("task.given_back", error=str(error), next="leaving" if error.leaves else "resting")
            return Next.LEAVE if error.leaves else Next.REST
        except ExecutableRefused as error:
            self._executor.refuse(claim.at.head.executable, str(error))
            attempts.give_back(self._cluster, claim)
        except TaskFailed as error:
            if running.stop.is_set():
                self._stopped(running)
                return Next.GO_ON
            failed = self._fail(claim, error.error)
            log.warning("task.failed", error=str(error), job_failed=failed)
        except InputError as error:
            self._fail(claim, {"kind": "input", "message": str(error)}, final=True)
            log.warning("task.failed", error=str(error), job_failed=True)
        except Unavailable as error:
            if not isinstance(error, DiskFull):
                attempts.postpone(self._cluster, claim, str(error))
                log.warning("task.postponed", error=str(error))
                return Next.GO_ON
            running.unfit = str(error)
            self._fail(claim, {"kind": "host", "message": str(error)})
            log.error("task.failed", error=str(error))
            return Next.LEAVE
        except Denied as error:
            running.unfit = f"the storage denies this machine something: {error}"
            attempts.give_back(self._cluster, claim)
            log.error("task.given_back", error=str(error), next="resting; mend this machine's access to the storage")
            return Next.REST
        except StorageError as error:
            self._fail(claim, {"kind": "host", "message": str(error)})
            log.warning("task.failed", error=str(error))
        except OSError as error:
            if error.errno not in HOST_ERRNOS:
                raise
            running.unfit = str(error)
            message = f"this machine cannot run tasks: {error}"
            self._fail(claim, {"kind": "host", "message": message})
            log.error("task.failed", error=message)
            return Next.LEAVE
        return Next.GO_ON

    def _attempt(self, running: Running) -> None:
        claim, started = running.claim, time.monotonic()
        done = self._executor.execute(running)
        running.bid = self._next_bid(claim)
        ended = attempts.commit(self._cluster, claim, done, running.bid)
        if ended.own_object_useless:
            key = keys.attempt_object(claim.at.job, claim.at.stage, claim.index, claim.record.nonce)
            self._cluster.storage.delete([key])
        self.done += ended.counted
        self.losses.forget(claim.at.job)
        log.info("task.done" if ended.counted else "task.superseded", seconds=round(time.monotonic() - started, 3))

    def _fail(self, claim: Claim, error: dict[str, Any], *, final: bool = False) -> bool:
        self.failed += 1
        if error.get("kind") == "host":
            self.losses.add(claim.at.job)
        return attempts.fail(self._cluster, claim, error, final=final)

    def _stopped(self, running: Running) -> None:
        """End a task that this worker was told to stop."""
        if running.give_back:
            attempts.give_back(self._cluster, running.claim)
            log.info("task.given_back")
        else:
            log.info("task.stopped", reason="the job ended, or another worker has taken the task")
