"""Runs tasks as processes of this machine: fetch, run the executable, upload."""

import contextlib
import errno
import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from gomr.backends import RequestCounter, counted_requests
from gomr.checksums import file_checksum
from gomr.hookspecs import Launch, Program
from gomr.inputs import Inputs
from gomr.job.careful import TRACE
from gomr.job.contract import Piece
from gomr.job.version import CONTRACT_VERSION
from gomr.model import MAP_STAGE, REDUCE_STAGE, DoneRecord, JobRecord
from gomr.plugins import Plugins
from gomr.scheduling import keys
from gomr.scheduling.claims import Claim
from gomr.scheduling.cluster import Cluster
from gomr.scheduling.history import with_backup
from gomr.scheduling.stages import with_tail
from gomr.worker import fetch
from gomr.worker.executables import Executables
from gomr.worker.executor import Executor, Running
from gomr.worker.jobs import Jobs
from gomr.worker.livelog import LiveLog
from gomr.worker.machine import PROBE_BYTES, blaming_machine
from gomr.worker.outcome import Outcome, TaskFailed, is_regular, read_outcome
from gomr.worker.programs import program_of
from gomr.worker.scratch import LOG, TASK, WORK, ScratchFolder
from gomr.worker.settings import WorkerSettings

HELD_SECONDS_MAX = 60.0  # that a task may wait for a slot here: others may have one free
SLOT_SECONDS = 0.1  # between looks whether a task that waits for a slot is still wanted
MIB = 1024 * 1024
BLOCKS_IN_RECORD_MAX = 32  # more offsets than this would not fit a done record of some 512 bytes


class ProcessExecutor(Executor):
    """The executor of `gomr worker`: each task is a process of its own, below the plugin that runs tasks."""

    def __init__(
        self,
        cluster: Cluster,
        plugins: Plugins,
        settings: WorkerSettings,
        worker: str,
        on_refusal: Callable[[dict[str, str]], None],
    ) -> None:
        settings.make_folders()
        self._cluster = cluster
        self._plugins = plugins
        self._scratch_folder = ScratchFolder(settings.scratch_dir, worker)
        self._settings = settings
        self._inputs = Inputs(plugins.open_storage, cluster.storage, cluster.storage_url)
        self._executables = Executables(cluster, settings, on_refusal)
        self._jobs = Jobs(cluster)
        self._slots = threading.Semaphore(settings.slot_count)

    def refuses(self, digest: str) -> bool:
        """Say whether this machine has refused the executable."""
        return self._executables.refuses(digest)

    def refuse(self, digest: str, reason: str) -> None:
        """Leave all jobs of this executable to other workers from now on."""
        self._executables.refuse(digest, reason)

    def execute(self, running: Running) -> DoneRecord:
        """Fetch the task's input, run its process, upload what it wrote; return what a commit is to say of it."""
        with (
            blaming_machine(self._settings),
            self._scratch_folder.task_folder(self._settings.run_as) as scratch,
            counted_requests() as requests,
        ):
            return self._execute(running, scratch, requests)

    def close(self) -> None:
        """Let go of storages and scratch files."""
        self._inputs.close()
        self._scratch_folder.close()

    def _execute(self, running: Running, scratch: Path, requests: RequestCounter) -> DoneRecord:
        claim = running.claim
        at, started, started_seconds = claim.at, time.monotonic(), time.time()
        record = self._jobs.record(at)
        with self._executables.use(at.head.executable, at.head.executable_object) as executable:
            program = self._program(at.head.executable, record, executable)
            self._plugins.manager.hook.gomr_prepare(program=program)
            pieces = self._pieces(claim, record, scratch)
            fetched = time.monotonic()
            with self._slot(running):
                began = time.monotonic()
                outcome = self._run_process(running, record, program, pieces, scratch)
            ran = time.monotonic()
        if at.stage == MAP_STAGE:
            fetch.check_all_unchanged(self._inputs, record, claim.index)
        checksum = file_checksum(outcome.output) if at.stage == at.head.stages[-1] else ""
        has_tail = len(outcome.blocks) > BLOCKS_IN_RECORD_MAX
        if has_tail:
            with outcome.output.open("ab") as file:
                file.write(with_tail(outcome.blocks))
        if outcome.skipped:
            self._store_skipped(claim, outcome)
        size = outcome.output.stat().st_size
        key = keys.attempt_object(at.job, at.stage, claim.index, claim.record.nonce)
        self._cluster.storage.put_file(key, outcome.output)
        return DoneRecord(
            nonce=claim.record.nonce,
            attempt=claim.record.attempt,
            worker=claim.record.worker,
            size=size,
            checksum=checksum,
            blocks=None if has_tail else outcome.blocks,
            records_in=outcome.records_in,
            records_out=outcome.records_out,
            bytes_in=sum(piece.length for piece in pieces),
            spills=outcome.spills,
            peak_memory_bytes=outcome.peak_memory_bytes,
            fetch_seconds=round(fetched - started, 4),
            run_seconds=round(ran - began, 4),
            write_seconds=round(time.monotonic() - ran, 4),
            counters=outcome.counters,
            failures=claim.record.failures,
            losses=claim.record.losses,
            requests=requests.counts(),
            skipped=outcome.skipped,
            started_seconds=round(started_seconds, 3),
            wait_seconds=round(began - fetched, 4),
            backup=claim.record.backup,
            history=with_backup(claim.record, running.backup),
        )

    @contextlib.contextmanager
    def _slot(self, running: Running) -> Iterator[None]:
        """Run one of as many processes as there are slots. Raises TaskFailed where the task is stopped before."""
        give_back_at = time.monotonic() + HELD_SECONDS_MAX
        while not self._slots.acquire(timeout=SLOT_SECONDS):
            if time.monotonic() > give_back_at:
                running.give_back = True
                running.stop.set()
            if running.stop.is_set():
                raise TaskFailed({"kind": "stopped", "message": "the task was stopped before it ran"})
        try:
            yield
        finally:
            self._slots.release()

    def _store_skipped(self, claim: Claim, outcome: Outcome) -> None:
        path = outcome.output.with_name("skipped")
        if is_regular(path):
            key = keys.skipped_records(claim.at.job, claim.at.stage, claim.index, claim.record.nonce)
            self._cluster.storage.put_file(key, path)

    def _pieces(self, claim: Claim, record: JobRecord, scratch: Path) -> list[Piece]:
        if claim.at.stage == MAP_STAGE:
            return fetch.map_pieces(self._inputs, record, claim.index, scratch, self._settings.decompressed_bytes)
        maps = self._jobs.finished_maps(claim.at)
        return fetch.reduce_pieces(self._cluster, claim.at.job, MAP_STAGE, maps, claim.index, scratch)

    def _program(self, digest: str, record: JobRecord, executable: Path) -> Program:
        serve = bool(record.describe.get("serve"))
        return program_of(self._settings, digest, executable, self._executables.pex_root(digest), serve=serve)

    def _run_process(
        self, running: Running, record: JobRecord, program: Program, pieces: list[Piece], scratch: Path
    ) -> Outcome:
        """Run the task's process; return its outcome. Raises TaskFailed."""
        claim = running.claim
        task = self._write_task(claim, record, pieces, scratch)
        killed: list[str] = []
        launch = Launch(
            program=program,
            task_file=scratch / TASK,
            scratch=scratch / WORK,
            log=scratch / LOG,
            task_seconds=record.task_seconds,
            memory_bytes=self._settings.task_memory_bytes,
            stop=running.stop,
            why_killed=killed.append,
            identity={"job": claim.at.job, "stage": claim.at.stage, "task": str(claim.index)},
        )
        began = time.monotonic()
        with LiveLog(self._cluster, claim, launch.log, self._settings.log_bytes):
            status = self._plugins.manager.hook.gomr_run_task(launch=launch)
        if killed:
            was_in_time = time.monotonic() - began < record.task_seconds
            if was_in_time and not self._settings.memory_limit_bytes and launch.memory_bytes < record.memory_bytes:
                least = f"this machine has less for a task than the job's --memory of {record.memory_bytes // MIB} MiB"
                raise TaskFailed({"kind": "host", "message": f"the task was killed: {killed[0]}; {least}"})
            raise TaskFailed({"kind": "limit", "message": f"the task was killed: {killed[0]}"})
        is_map = task["kind"] == "map" and record.describe["reducer"]
        partitions = record.partitions if is_map else 0
        try:
            return read_outcome(Path(task["result"]), Path(task["output"]), status, partitions)
        except TaskFailed as error:
            if error.error.get("died") and task["trace"]:
                error.error.update(_traced(Path(task["trace"]), pieces))
            full = error.error.get("kind") == "host" and os.strerror(errno.ENOSPC) in str(error)
            if full or shutil.disk_usage(scratch).free < PROBE_BYTES:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(scratch)) from error
            raise

    def _write_task(self, claim: Claim, record: JobRecord, pieces: list[Piece], scratch: Path) -> dict[str, Any]:
        task = {
            "contract": CONTRACT_VERSION,
            "kind": "reduce" if claim.at.stage == REDUCE_STAGE else "map",
            "inputs": fetch.piece_facts(pieces),
            "partitions": record.partitions,
            "params": record.params,
            "output": str(scratch / WORK / "output"),
            "scratch": str(scratch / WORK),
            "result": str(scratch / WORK / "result.json"),
            "log": str(scratch / LOG),
            "memory_bytes": record.memory_bytes,
            "scratch_bytes": self._settings.scratch_bytes,
            "output_format": record.output_format,
            "skip": claim.record.skip,
            "skipped": str(scratch / WORK / "skipped"),
            "ranges": record.ranges,
            "trace": str(scratch / WORK / "trace") if claim.record.trace else "",
            "identity": {
                "job": claim.at.job,
                "stage": claim.at.stage,
                "task": claim.index,
                "attempt": claim.record.attempt,
            },
        }
        (scratch / TASK).write_text(json.dumps(task))
        return task


def _traced(path: Path, pieces: list[Piece]) -> dict[str, Any]:
    """Return which record a process that died was at, as an error object tells it; nothing where it was at none."""
    data = path.read_bytes() if is_regular(path) else b""
    if len(data) != TRACE.size:
        return {}
    piece, number = TRACE.unpack(data)
    return {"record_number": number, "source": pieces[piece].name} if piece < len(pieces) else {}
