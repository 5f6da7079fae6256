"""One attempt at one task: fetch, run in a process of its own, upload, commit."""

import contextlib
import errno
import json
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog

from gomr.backends import RequestCounter, counted_requests
from gomr.errors import CoordinatorError, DiskFull, StorageError, Unavailable
from gomr.executables import ExecutableRefused, environment, file_digest
from gomr.hookspecs import Launch
from gomr.job.contract import Piece
from gomr.job.errors import HOST_ERRNOS
from gomr.job.version import CONTRACT_VERSION
from gomr.model import MAP_STAGE, REDUCE_STAGE, DoneRecord, JobRecord
from gomr.planning import Inputs
from gomr.plugins import Plugins
from gomr.scheduling import attempts, keys
from gomr.scheduling.claims import Claim
from gomr.scheduling.cluster import Cluster
from gomr.scheduling.stages import with_tail
from gomr.worker import fetch
from gomr.worker.executables import Executables
from gomr.worker.jobs import Jobs
from gomr.worker.livelog import LiveLog
from gomr.worker.outcome import Outcome, TaskFailed, read_outcome
from gomr.worker.scratch import delete_tree
from gomr.worker.settings import WorkerSettings

DISK_BYTES_MIN = 64 * 1024  # with less than this a task cannot even say what went wrong
BLOCKS_IN_RECORD_MAX = 32  # more offsets than this would not fit a done record of some 512 bytes

_log = structlog.get_logger("gomr")


@dataclass(slots=True)
class Running:
    """A task in hand: set `stop` to end it; `give_back` says whether it is to be given back."""

    claim: Claim
    stop: threading.Event = field(default_factory=threading.Event)
    give_back: bool = False


class AttemptRunner:
    """Runs attempts for the slots of one worker. Safe for several threads."""

    def __init__(
        self,
        cluster: Cluster,
        plugins: Plugins,
        inputs: Inputs,
        executables: Executables,
        settings: WorkerSettings,
    ) -> None:
        self._cluster = cluster
        self._plugins = plugins
        self._inputs = inputs
        self._executables = executables
        self._settings = settings
        self._jobs = Jobs(cluster)

    def run(self, running: Running) -> bool:
        """Run the attempt to its end; return False where this machine is not fit to go on (its disk is full)."""
        claim = running.claim
        if attempts.too_many_losses(claim.record):
            message = f"{claim.record.losses} workers died or lost touch while they ran this task"
            attempts.fail(self._cluster, claim, {"kind": "lost", "message": message}, final=True)
            return True
        try:
            return self._run(running)
        except CoordinatorError as error:  # what we did, or did not, is the next worker's to find
            _log.warning("task.abandoned", error=str(error))
            return True
        except Exception as error:  # a fault in gomr or a plugin: it must not end one worker after the other
            _log.exception("task.failed")
            message = f"the worker failed, not the job: {type(error).__name__}: {error}"
            attempts.fail(self._cluster, claim, {"kind": "host", "message": message})
            return True

    def _run(self, running: Running) -> bool:
        claim = running.claim
        try:
            with self._scratch() as scratch, counted_requests() as requests:
                self._attempt(running, scratch, requests)
        except ExecutableRefused as error:
            self._executables.refuse(claim.at.head.executable, str(error))
            attempts.give_back(self._cluster, claim)
        except TaskFailed as error:
            if running.stop.is_set():
                self._stopped(running)
                return True
            failed = attempts.fail(self._cluster, claim, error.error)
            _log.warning("task.failed", error=str(error), job_failed=failed)
        except fetch.InputError as error:
            attempts.fail(self._cluster, claim, {"kind": "input", "message": str(error)}, final=True)
            _log.warning("task.failed", error=str(error), job_failed=True)
        except Unavailable as error:
            if not isinstance(error, DiskFull):
                attempts.postpone(self._cluster, claim, str(error))
                _log.warning("task.postponed", error=str(error))
                return True
            attempts.fail(self._cluster, claim, {"kind": "host", "message": str(error)})
            _log.error("task.failed", error=str(error))
            return False
        except StorageError as error:
            attempts.fail(self._cluster, claim, {"kind": "host", "message": str(error)})
            _log.warning("task.failed", error=str(error))
        except OSError as error:
            if error.errno not in HOST_ERRNOS:
                raise
            message = f"this machine cannot run tasks: {error}"
            attempts.fail(self._cluster, claim, {"kind": "host", "message": message})
            _log.error("task.failed", error=message)
            return False
        return True

    def _attempt(self, running: Running, scratch: Path, requests: RequestCounter) -> None:
        claim = running.claim
        at, started = claim.at, time.monotonic()
        record = self._jobs.record(at)
        with self._executables.use(at.head.executable) as executable:
            pieces = self._pieces(claim, record, scratch)
            fetched = time.monotonic()
            outcome = self._execute(running, record, executable, pieces, scratch)
            ran = time.monotonic()
        if at.stage == MAP_STAGE:
            fetch.check_all_unchanged(self._inputs, record, claim.index)
        digest = file_digest(outcome.output) if at.stage == at.head.stages[-1] else ""
        has_tail = len(outcome.blocks) > BLOCKS_IN_RECORD_MAX
        if has_tail:
            with outcome.output.open("ab") as file:
                file.write(with_tail(outcome.blocks))
        size = outcome.output.stat().st_size
        key = keys.attempt_object(at.job, at.stage, claim.index, claim.record.nonce)
        self._cluster.storage.put_file(key, outcome.output)
        done = DoneRecord(
            nonce=claim.record.nonce,
            attempt=claim.record.attempt,
            worker=claim.record.worker,
            size=size,
            digest=digest,
            blocks=None if has_tail else outcome.blocks,
            records_in=outcome.records_in,
            records_out=outcome.records_out,
            bytes_in=sum(piece.length for piece in pieces),
            spills=outcome.spills,
            peak_memory_bytes=outcome.peak_memory_bytes,
            fetch_seconds=round(fetched - started, 4),
            run_seconds=round(ran - fetched, 4),
            write_seconds=round(time.monotonic() - ran, 4),
            counters=outcome.counters,
            failures=claim.record.failures,
            losses=claim.record.losses,
            requests=requests.counts(),
        )
        ended = attempts.commit(self._cluster, claim, done)
        if ended.own_object_useless:
            self._cluster.storage.delete([key])
        _log.info("task.done" if ended.counted else "task.superseded", seconds=round(time.monotonic() - started, 3))

    def _pieces(self, claim: Claim, record: JobRecord, scratch: Path) -> list[Piece]:
        if claim.at.stage == MAP_STAGE:
            return fetch.map_pieces(self._inputs, record, claim.index, scratch, self._settings.decompressed_bytes)
        maps = self._jobs.finished_maps(claim.at)
        return fetch.reduce_pieces(self._cluster, claim.at.job, MAP_STAGE, maps, claim.index, scratch)

    def _execute(
        self, running: Running, record: JobRecord, executable: Path, pieces: list[Piece], scratch: Path
    ) -> Outcome:
        """Run the task's process; return its outcome. Raises TaskFailed."""
        claim, settings = running.claim, self._settings
        task = self._write_task(claim, record, pieces, scratch)
        killed: list[str] = []
        launch = Launch(
            executable=executable,
            digest=claim.at.head.executable,
            task_file=scratch / "task.json",
            scratch=scratch / "work",
            log=scratch / "log",
            environment=environment(self._executables.pex_root(claim.at.head.executable), executable.parent),
            serve=bool(record.describe.get("serve")) and not settings.exec_per_task,
            task_seconds=record.task_seconds,
            memory_bytes=settings.task_memory_bytes,
            open_files=settings.open_files,
            file_bytes=settings.file_bytes,
            stop=running.stop,
            why_killed=killed.append,
            user=settings.run_as,
            identity={"job": claim.at.job, "stage": claim.at.stage, "task": str(claim.index)},
        )
        with LiveLog(self._cluster, claim, launch.log, settings.log_bytes):
            status = self._plugins.manager.hook.gomr_run_task(launch=launch)
        if killed:
            raise TaskFailed({"kind": "limit", "message": f"the task was killed: {killed[0]}"})
        is_map = task["kind"] == "map" and record.describe["reducer"]
        partitions = record.partitions if is_map else 0
        try:
            return read_outcome(Path(task["result"]), Path(task["output"]), status, partitions)
        except TaskFailed as error:
            full = error.error.get("kind") == "host" and os.strerror(errno.ENOSPC) in str(error)
            if full or shutil.disk_usage(scratch).free < DISK_BYTES_MIN:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(scratch)) from error
            raise

    def _write_task(self, claim: Claim, record: JobRecord, pieces: list[Piece], scratch: Path) -> dict[str, Any]:
        task = {
            "contract": CONTRACT_VERSION,
            "kind": "reduce" if claim.at.stage == REDUCE_STAGE else "map",
            "inputs": fetch.piece_facts(pieces),
            "partitions": record.partitions,
            "params": record.params,
            "output": str(scratch / "work" / "output"),
            "scratch": str(scratch / "work"),
            "result": str(scratch / "work" / "result.json"),
            "log": str(scratch / "log"),
            "memory_bytes": record.memory_bytes,
            "scratch_bytes": self._settings.scratch_bytes,
            "output_format": record.output_format,
            "identity": {
                "job": claim.at.job,
                "stage": claim.at.stage,
                "task": claim.index,
                "attempt": claim.record.attempt,
            },
        }
        (scratch / "task.json").write_text(json.dumps(task))
        return task

    @contextlib.contextmanager
    def _scratch(self) -> Iterator[Path]:
        folder = Path(tempfile.mkdtemp(prefix="task-", dir=self._settings.scratch_dir))
        try:
            (folder / "work").mkdir()
            (folder / "log").touch()
            if self._settings.run_as:
                folder.chmod(0o755)
                for name in ("work", "log"):
                    shutil.chown(folder / name, user=self._settings.run_as)
            yield folder
        finally:
            delete_tree(folder)

    def _stopped(self, running: Running) -> None:
        """End a task that this worker was told to stop."""
        if running.give_back:
            attempts.give_back(self._cluster, running.claim)
            _log.info("task.given_back")
        else:
            _log.info("task.stopped", reason="the job ended, or another worker has taken the task")
