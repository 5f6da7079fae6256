"""The client: all that the command line does, for programs (`gomr.Client`)."""

import getpass
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from gomr import results
from gomr.config import Config
from gomr.content import wants_text
from gomr.errors import UsageError, WaitTimeout
from gomr.executables import Asked, asked, digest_of, ensure_temporary_folder, file_identity
from gomr.inputs import Inputs
from gomr.job.version import VERSION
from gomr.joblogs import LogText, follow_logs, parse_task, read_logs
from gomr.localfiles import Spool
from gomr.logs import CLOSE_SECONDS_MAX, log
from gomr.model import LIVE, JobHead, JobRecord, WorkerRecord
from gomr.options import JobOptions, checked_params
from gomr.planning import cut, partitions_for, split_bytes_for
from gomr.plugins import Plugins
from gomr.sampling import range_starts
from gomr.scheduling import control, gc, keys, status
from gomr.scheduling.cluster import Cluster
from gomr.scheduling.status import JobStatus, TaskStatus
from gomr.scheduling.submit import Submitted, new_job_id, submit
from gomr.scheduling.uploads import OnUpload
from gomr.sniffing import looked_at
from gomr.urls import parse
from gomr.worker.process_executor import ProcessExecutor
from gomr.worker.programs import prepare
from gomr.worker.settings import WorkerSettings
from gomr.worker.worker import Worker

if TYPE_CHECKING:
    from gomr.build import Built

DESCRIBED_SECONDS = 10.0  # what a job file says may be of today: it is asked again before long
WAIT_SECONDS_MIN, WAIT_SECONDS_MAX = 0.02, 0.5  # between looks at a job that is waited for


@dataclass(frozen=True, slots=True)
class Plan:
    """A job that was not submitted; `left_out` counts the names that folders and wildcards passed over."""

    record: JobRecord
    left_out: int


class Client:
    """One user's view of a cluster; the settings are those of the command line, here as arguments.

    >>> with gomr.Client() as client:  # doctest: +SKIP
    ...     job = client.submit("wordcount.py", ["books/**/*.txt"])
    ...     client.wait(job)
    ...     client.result(job, "counts.tsv")
    """

    def __init__(
        self,
        storage: str | None = None,
        coordinator: str | None = None,
        plugins: Sequence[str] | None = None,
        *,
        config: Config | None = None,
    ) -> None:
        given = None if plugins is None else ",".join(plugins)
        self.config = config or Config({"storage": storage, "coordinator": coordinator, "plugins": given})
        self.plugins = Plugins(self.config.items("plugins"))
        self._cluster: Cluster | None = None
        self._described: tuple[str, float, dict[str, Any]] = ("", 0.0, {})  # of which digest, until when, what

    @property
    def cluster(self) -> Cluster:
        """The storage and coordinator, opened at first use. Raises ConfigurationError where they do not match."""
        if self._cluster is None:
            url = parse(self.config.text("storage"))
            storage = self.plugins.open_storage(url)
            coordinator = self.plugins.open_coordinator(self.config.text("coordinator"))
            cluster = Cluster(storage, coordinator, url)
            try:
                cluster.identify()
            except BaseException:
                cluster.close()
                raise
            self._cluster = cluster
        return self._cluster

    def build(
        self,
        job_file: str | Path,
        output: str | Path | None = None,
        *,
        requirements: str | Path | None = None,
        include: Sequence[str | Path] = (),
        pure: bool = False,
    ) -> "Built":
        """Build a job file into an executable (see `gomr.build.build`)."""
        from gomr.build import build  # what it imports takes longer than to submit an executable

        cache_dir = self.config.path("cache_dir", executes=True)
        ensure_temporary_folder(cache_dir)
        return build(
            Path(job_file),
            Path(output) if output else None,
            cache_dir=cache_dir,
            requirements=Path(requirements) if requirements else None,
            include=tuple(map(Path, include)),
            pure=pure,
        )

    def submit(self, job: str | Path, inputs: Sequence[str] = (), options: JobOptions | None = None) -> str:
        """Submit a job file or an executable; return the job id. A .py file is built first.

        `inputs` are paths, folders, wildcards or URLs; those that the job file names where none are given.
        """
        return self.submit_in_full(job, inputs, options).job

    def submit_in_full(
        self,
        job: str | Path,
        inputs: Sequence[str] = (),
        options: JobOptions | None = None,
        on_upload: OnUpload = lambda _stored, _total: None,
        *,
        inquiry: Asked | None = None,
        settings: WorkerSettings | None = None,
    ) -> Submitted:
        """Submit like `submit`; tell also whether the executable was uploaded, and whether the job was there.

        `on_upload` hears of local inputs on their way to a storage elsewhere: bytes so far, bytes in all.
        With an `inquiry`, the executable has been asked already; with `settings`, a worker with them is about to run
        the job in this process, and what it needs is started meanwhile.
        """
        ensure_temporary_folder(self.config.path("cache_dir"))
        with tempfile.TemporaryDirectory(prefix="gomr-submit-") as folder:
            executable = Path(job)
            if executable.suffix == ".py":
                built = self.build(job, Path(folder) / f"{executable.stem}.pex")
                executable, digest, facts = built.path, built.digest, built.describe
            else:
                identity = inquiry.identity if inquiry else file_identity(executable)
                digest = digest_of(executable)
                if settings is not None:
                    prepare(self.plugins, settings, digest)
                facts = self._describe(executable, digest, inquiry)
                if file_identity(executable) != identity:
                    raise UsageError(f"{executable} changed while it was submitted; submit again")
            chosen = options or JobOptions()
            record = self._record(digest, facts, inputs, chosen, self._finder(Path(folder), chosen))
            return submit(self.cluster, executable, record, chosen.idempotency_key, on_upload)

    def plan(
        self,
        job: str | Path,
        inputs: Sequence[str] = (),
        options: JobOptions | None = None,
        *,
        inquiry: Asked | None = None,
    ) -> Plan:
        """Return the job that `submit` would make, and submit nothing; each input says how it is compressed."""
        chosen = options or JobOptions()
        with tempfile.TemporaryDirectory(prefix="gomr-plan-") as folder:
            executable = Path(job)
            if executable.suffix == ".py":
                built = self.build(job, Path(folder) / f"{executable.stem}.pex")
                digest, facts = built.digest, built.describe
            else:
                digest = digest_of(executable)
                facts = self._describe(executable, digest, inquiry)
            finder = self._finder(Path(folder), chosen)
            record = self._record(digest, facts, inputs, chosen, finder, look_at_all=True)
            return Plan(record, finder.left_out)

    def wait(
        self,
        job: str,
        timeout_seconds: float | None = None,
        on_look: Callable[[JobStatus], None] | None = None,
        pause_for: Callable[[float], object] = time.sleep,
    ) -> JobStatus:
        """Wait for the end of a job; return its last status. Raises WaitTimeout.

        `on_look` hears of each status, `pause_for` waits so many seconds between looks, or less.
        """
        pause = WAIT_SECONDS_MIN
        deadline = None if timeout_seconds is None else time.monotonic() + timeout_seconds
        while True:
            now = self.status(job)
            if on_look is not None:
                on_look(now)
            if now.state not in LIVE:
                return now
            if deadline is not None and time.monotonic() > deadline:
                raise WaitTimeout(f"job {job} is still {now.state}; it goes on: gomr status {job}")
            pause_for(pause)
            pause = min(1.3 * pause, WAIT_SECONDS_MAX)

    def status(self, job: str) -> JobStatus:
        """Return how far a job is."""
        return status.job_status(self.cluster, job)

    def jobs(self) -> list[tuple[str, JobHead]]:
        """Return all jobs, the newest last."""
        return status.jobs(self.cluster)

    def tasks(self, job: str) -> list[TaskStatus]:
        """Return the tasks of a job."""
        return status.tasks(self.cluster, job)

    def workers(self) -> dict[str, WorkerRecord]:
        """Return the live workers by id."""
        return status.workers(self.cluster)

    def skipped(self, job: str) -> Iterator[bytes]:
        """Yield the records that a job gave up, as lines of JSON: source, record_number, record."""
        return results.skipped_records(self.cluster, job)

    def read_result(self, job: str) -> Iterator[bytes]:
        """Yield the bytes of a job's result. Raises JobFailed, JobCancelled, NotFoundError where there is none."""
        return results.read_result(self.cluster, job)

    def result(self, job: str, target: str | Path) -> None:
        """Write a job's result to a file ("-": standard output), whole or not at all."""
        results.save_result(self.cluster, job, str(target))

    def logs(self, job: str, task: str = "", *, follow: bool = False) -> Iterator[LogText]:
        """Yield the logs of a job's attempts; with `follow`, as they are written, until the job ends."""
        return (follow_logs if follow else read_logs)(self.cluster, job, task)

    def sink_events(self, job: str, task: str, sink: str, since_seconds: float) -> Iterator[Mapping[str, Any]]:
        """Yield the events of a job, or of one of its tasks, that the log sink `sink` (a scheme or URL) holds.

        Raises ConfigurationError where it cannot read.
        """
        urls = [url for url in self.config.items("logs") or [] if parse(url).scheme == sink] or [sink]
        reader = self.plugins.open_log_sink(urls[0])
        try:
            stage, index = parse_task(task)
            match = {"job": job, **({"stage": stage} if stage else {}), **({"task": str(index)} if stage else {})}
            yield from reader.read(match, since_seconds)
        finally:
            reader.close(CLOSE_SECONDS_MAX)

    def cancel(self, job: str) -> str:
        """Cancel a job; return the state it has now."""
        return control.cancel(self.cluster, job)

    def pause(self, job: str) -> None:
        """Have no more tasks of a job started; those that run go on to their end."""
        control.pause(self.cluster, job)

    def resume(self, job: str) -> None:
        """Go on with a paused job."""
        control.resume(self.cluster, job)

    def rerun(self, job: str) -> None:
        """Open a failed or cancelled job again; its finished tasks count."""
        control.rerun(self.cluster, job)

    def drain(self, worker: str) -> None:
        """Ask a worker to claim no more, finish what it has in hand, and leave: it hears of it within a lease."""
        control.drain(self.cluster, worker)

    def remove(self, job: str) -> None:
        """Delete an ended job and all its objects."""
        control.remove(self.cluster, job)

    def find(self, text: str) -> str:
        """Return the one job whose id is or starts with `text`."""
        return control.find(self.cluster, text)

    def gc(
        self,
        *,
        grace_seconds: float = gc.GRACE_SECONDS,
        results: bool = False,
        versions: bool = False,
        dry_run: bool = False,
    ) -> Iterator[gc.Garbage]:
        """Delete what nobody needs, and yield it."""
        return gc.collect(
            self.cluster, grace_seconds=grace_seconds, results=results, versions=versions, dry_run=dry_run
        )

    def delete_intermediate(self, job: str) -> None:
        """Delete what the map tasks of a job that is done have written, where it takes room on this machine.

        Nothing reads it again; without this, gc deletes it a day later.
        """
        if self.cluster.storage.local_path(keys.job_folder(job).rstrip("/")) is not None:
            gc.delete_intermediate(self.cluster, job)

    def worker(self, settings: WorkerSettings | None = None) -> Worker:
        """Return a worker of this cluster; call its `run`. Its log events go to the configured sinks."""
        cluster = self.cluster
        if not log.is_configured():
            sinks = [self.plugins.open_log_sink(url) for url in self.config.items("logs") or []]
            log.configure(sinks, self.config.text("log_level"))
        loaded = self.plugins.loaded()
        log.info("plugins.loaded", plugins=[str(info) for info in loaded])
        chosen = settings or self.worker_settings()
        names = [f"{info.name} {info.version}".strip() for info in loaded]
        return Worker(cluster, chosen, partial(ProcessExecutor, cluster, self.plugins, chosen), names)

    def worker_settings(self, **changes: Any) -> WorkerSettings:
        """Return the settings of a worker, with this configuration's folders."""
        folders = {
            "cache_dir": self.config.path("cache_dir", executes=True),
            "scratch_dir": self.config.path("scratch_dir"),
        }
        ensure_temporary_folder(folders["cache_dir"])
        return WorkerSettings(**{**folders, **changes})

    def close(self) -> None:
        """Close the storage and the coordinator."""
        if self._cluster is not None:
            self._cluster.close()
            self._cluster = None

    def __enter__(self) -> Self:
        """Return the client itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the client."""
        self.close()

    def _describe(self, executable: Path, digest: str, inquiry: Asked | None) -> dict[str, Any]:
        """Return what an executable says of itself: what it said a moment ago, unless it looks for its own inputs."""
        now = time.monotonic()
        known, until, facts = self._described
        if inquiry is not None or known != digest or now > until or facts.get("inputs"):
            asking = nullcontext(inquiry) if inquiry else asked(executable, self.config.path("cache_dir"))
            with asking as asked_now:
                facts = asked_now.answer()
            self._described = digest, now + DESCRIBED_SECONDS, facts
        return facts

    def _finder(self, folder: Path, options: JobOptions) -> Inputs:
        """Return what finds inputs, and keeps in `folder` what comes from pipes."""
        spool = Spool(folder, options.spool_bytes_max)
        return Inputs(self.plugins.open_storage, self.cluster.storage, self.cluster.storage_url, spool)

    def _record(
        self,
        digest: str,
        facts: Mapping[str, Any],
        patterns: Sequence[str],
        options: JobOptions,
        finder: Inputs,
        *,
        look_at_all: bool = False,
    ) -> JobRecord:
        """Plan a job: find its inputs, cut them, settle its options."""
        try:
            inputs = finder.find(options.checked_inputs(patterns, facts))
            splittable = facts["input"]["split"] in ("lines", "records")
            sort = facts.get("sort") or {}
            if sort and options.output_format:
                raise UsageError("--format: a job that sorts writes its records as they are; leave it out")
            record_bytes = sort.get("record_bytes", 0)
            total_bytes = sum(item.size for item in inputs)
            split_bytes = options.split_bytes or split_bytes_for(total_bytes, record_bytes, options.memory_bytes)
            inputs = looked_at(
                inputs,
                finder.locate,
                split=facts["input"]["split"],
                split_bytes=split_bytes,
                text=wants_text(facts),
                all_of_them=look_at_all,
            )
            splits = cut(inputs, split_bytes, splittable=splittable, locate=finder.locate, record_bytes=record_bytes)
            partitions = options.partitions or facts.get("partitions") or partitions_for(total_bytes)
            ranges = range_starts(inputs, finder.locate, sort, partitions) if sort else []
        finally:
            finder.close()
        name = options.name or str(facts["name"]).lower().strip("_-.") or "job"
        return JobRecord(
            job=new_job_id(name),
            priority=options.priority,
            backups=options.backups,
            max_skipped=options.max_skipped,
            losses_max=options.losses_max,
            name=name,
            executable=digest,
            describe=dict(facts),
            inputs=[asdict(item) for item in inputs],
            splits=splits,
            params=checked_params(options.params, facts["params"]),
            partitions=partitions,
            memory_bytes=options.memory_bytes,
            task_seconds=options.task_seconds,
            attempts_max=options.attempts_max,
            output_format=options.output_format,
            split_bytes=split_bytes,
            created_seconds=time.time(),
            submitter=_user_name(),
            version=VERSION,
            ranges=[start.hex() for start in ranges],
        )


def _user_name() -> str:
    """Return who submits: a container's user may have a number alone."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return f"uid {os.getuid()}"
