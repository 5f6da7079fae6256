"""The worker's loop: each slot claims a task, runs it, and looks for the next; nobody tells it what to do."""

import os
import random
import socket
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import replace

from gomr.backends import Range
from gomr.errors import CoordinatorError, GomrError, StorageError
from gomr.executables import offers
from gomr.job.linux import hide_memory
from gomr.job.version import VERSION
from gomr.logs import bound, log
from gomr.model import JobHead, TaskRecord, WorkerRecord
from gomr.scheduling import keys
from gomr.scheduling.attempts import give_back
from gomr.scheduling.claims import Bid, Claim, Claims
from gomr.scheduling.cluster import Cluster
from gomr.scheduling.membership import Membership, new_worker_id
from gomr.scheduling.status import matches, required
from gomr.worker.attempt import AttemptRunner, Next
from gomr.worker.executor import Executor, Running
from gomr.worker.machine import starting_threads
from gomr.worker.settings import WorkerSettings, machine_memory_bytes

POLL_SECONDS_MIN = 0.25  # between idle looks, doubled each time: watches may fail, looks do not
POLL_SECONDS_MAX = 5.0
REST_SECONDS = 30.0  # of a slot on a machine that cannot run tasks now: limits and credentials are mended meanwhile
STOP_SECONDS_MAX = 5.0  # after the drain time: to kill takes less, and a transfer that goes on is not waited for
POLL_SECONDS_LIVE_MAX = 1.0  # while a job runs that this worker could help
JOIN_SECONDS = 0.1  # how late a signal may be heeded
CHECKED_MAX = 33  # tasks in hand that one transaction asks for: three keys each, and a transaction holds 101 operations
LOOKS_PER_SECOND = 500  # of all idle slots of a cluster together: with thousands of them, each looks less often
WAKES_PER_SECOND = 2000  # of all slots together, when the queue changes
VITALS_SECONDS = 60.0  # between records that only say how many attempts this worker has ended, and when
WAIT_SECONDS = 0.5  # one wait, for the coordinator or for tasks to have in hand; how late a draining worker may notice

OpenExecutor = Callable[[str, Callable[[dict[str, str]], None]], Executor]
"""Called with the worker's id, and with what is to hear of the executables it refuses, each with the reason."""


class Worker:
    """One worker with its slots. `run` blocks; `drain` and `stop` may be called from a signal handler."""

    def __init__(
        self, cluster: Cluster, settings: WorkerSettings, open_executor: OpenExecutor, plugins: Collection[str] = ()
    ) -> None:
        settings.check(cluster.coordinator.lease_seconds_min)
        self.id = new_worker_id()
        self._cluster = cluster
        self._offers = offers()
        self._draining = threading.Event()
        self._wanted = ""  # what a signal handler asked for: "drain" or "stop"; it may take no lock
        self._stop_at = float("inf")
        self._done = threading.Event()  # the slots have ended
        self._ended = threading.Event()
        self._running: dict[str, Running] = {}
        self._resting: dict[str, str] = {}  # of slots that rest: why, by the nonce of the task that each gave back
        self._handed_over: set[str] = set()
        self._at_last_beat: set[str] = set()
        self._lock = threading.Lock()
        self._unfit_jobs: set[str] = set()
        self._settings = settings
        record = WorkerRecord(
            host=socket.gethostname(),
            pid=os.getpid(),
            slots=settings.slot_count,
            version=VERSION,
            started_seconds=time.time(),
            offers=self._offers,
            memory_bytes=machine_memory_bytes(),
            plugins=[*plugins],
            beat_seconds=time.time(),
        )
        self._membership = Membership(cluster, self.id, record, settings.lease_seconds, self._on_beat)
        self._executor = open_executor(
            self.id, lambda refused: self._membership.update(lambda old: replace(old, refused=refused), now=True)
        )
        self._claims = Claims(cluster, self.id, settings.lease_seconds, self._can_run)
        self._runner = AttemptRunner(cluster, self._executor, self._next_bid)
        self.healthy = True
        self.joined = threading.Event()

    def run(self) -> None:
        """Work until told to leave, or, with `once`, until there is nothing left to do."""
        hide_memory()
        self._cluster.identify()
        with starting_threads():
            self._membership.join()
        self.joined.set()
        log.info("worker.started", worker=self.id, slots=self._settings.slot_count)
        slots = self._threads("slot", self._settings.slot_count, self._work)
        ahead = self._threads("ahead", self._settings.ahead_count, self._work_ahead)
        (watcher,) = self._threads("watch", 1, lambda _: self._watch())
        started: list[threading.Thread] = []
        try:
            with starting_threads():
                for thread in (watcher, *slots, *ahead):
                    thread.start()
                    started.append(thread)
            self._join(slots)
            self._done.set()
            self._claims.end()
            self._join(ahead)
        except BaseException:
            self.stop()
            raise
        finally:
            self._draining.set()
            self._ended.set()
            self._claims.end()
            self._join(started)
            self._give_back_not_begun()
            self._membership.leave()
            self._executor.close()
            log.info("worker.ended", worker=self.id)

    def _threads(self, name: str, count: int, target: Callable[[int], None]) -> list[threading.Thread]:
        numbers = range(count)
        return [
            threading.Thread(target=target, args=(number,), name=f"{name}-{number}", daemon=True) for number in numbers
        ]

    def _join(self, threads: list[threading.Thread]) -> None:
        for thread in threads:
            while thread.is_alive():
                thread.join(JOIN_SECONDS)
                self._heed()
                if time.monotonic() > self._stop_at:
                    self._stop_running()
                if self._is_over_time:
                    self._hand_over()
                    return

    @property
    def _is_over_time(self) -> bool:
        """Whether what is still in hand is not waited for any more."""
        return time.monotonic() > self._stop_at + STOP_SECONDS_MAX

    def drain(self) -> None:
        """Claim no more; finish the tasks in hand, or give them back after the drain time."""
        self._wanted = self._wanted or "drain"

    def stop(self) -> None:
        """Give the tasks in hand back now, and leave."""
        self._wanted = "stop"

    @property
    def draining(self) -> bool:
        """Whether this worker was told to leave."""
        return bool(self._wanted)

    def _heed(self) -> None:
        """Do what `drain` or `stop` asked for."""
        if self._wanted and not self._draining.is_set():
            self._stop_at = time.monotonic() + self._settings.drain_seconds
            self._draining.set()
        if self._wanted == "stop":
            self._stop_at = min(self._stop_at, time.monotonic())

    def _work(self, number: int) -> None:
        """Be one slot."""
        pause, is_idle = POLL_SECONDS_MIN, False
        while not self._draining.is_set():
            try:
                claim = self._claims.claim(is_idle=is_idle)
                if claim or self._claims.lookout.is_registered:
                    self._membership.seen()
                is_idle = claim is None
                if claim is None:
                    if self._settings.once and self._claims.lookout.live_jobs == 0:
                        return
                    pause = self._wait(pause)
                    continue
                pause = POLL_SECONDS_MIN
                self._run(Running(claim))
            except (CoordinatorError, StorageError, GomrError) as error:
                log.warning("cluster.unavailable", slot=number, error=str(error))
                self._draining.wait(POLL_SECONDS_MAX * random.random())  # noqa: S311 - jitter
            except Exception:
                log.exception("slot.failed", slot=number)
                self.healthy = False
                self.drain()
                raise

    def _work_ahead(self, number: int) -> None:
        """Have a task in hand beside those of the slots, where plenty are open: fetch it, and store what it made.

        Whose process may run is the executor's to say. Never looks for tasks: the slots do.
        """
        while not self._draining.is_set() and not self._done.is_set():
            try:
                claim = self._claims.claim_ahead(self._settings.slot_count, WAIT_SECONDS)
                if claim is not None:
                    self._run(Running(claim))
            except (CoordinatorError, StorageError, GomrError) as error:
                log.warning("cluster.unavailable", slot=f"ahead-{number}", error=str(error))
                self._draining.wait(POLL_SECONDS_MAX * random.random())  # noqa: S311 - jitter
            except Exception:
                log.exception("slot.failed", slot=f"ahead-{number}")
                self.healthy = False
                self.drain()
                raise

    def _run(self, running: Running) -> None:
        claim = running.claim
        with bound(
            job=claim.at.job, stage=claim.at.stage, task=claim.index, attempt=claim.record.attempt, worker=self.id
        ):
            self._run_claimed(running)

    def _run_claimed(self, running: Running) -> None:
        nonce = running.claim.record.nonce
        with self._lock:
            self._running[nonce] = running
        try:
            after = Next.GO_ON
            if self._draining.is_set():  # told to leave since the claim
                give_back(self._cluster, running.claim)
            else:
                after = self._runner.run(running)
        finally:
            with self._lock:
                del self._running[nonce]
            self._claims.release(running.claim)
            if running.bid:
                self._claims.settle(running.bid)
        self._go_on(after, running)

    def _next_bid(self, current: Claim) -> Bid | None:
        if self._draining.is_set():
            return None
        slots = self._settings.slot_count
        return self._claims.next_bid(current, slots if len(self._running) > slots else 0)

    def _go_on(self, after: Next, running: Running) -> None:
        """Do what follows from how an attempt went."""
        if after is Next.GO_ON:
            return
        nonce = running.claim.record.nonce
        with self._lock:
            self._resting[nonce] = running.unfit
            is_idle = not self._running
        self._show_unfit()
        # Who works on one job alone waits for nobody: the user shall hear what the machine lacks.
        if after is Next.LEAVE or (self._settings.only_job and is_idle):
            self.healthy = False
            log.error("worker.draining", reason=running.unfit)
            self.drain()
            return
        self._draining.wait(REST_SECONDS * random.uniform(0.5, 1.5))  # noqa: S311 - jitter
        with self._lock:
            del self._resting[nonce]
        self._show_unfit()

    def _unfit(self) -> str:
        """Return why this worker runs no task now, or none of some job; "" where it runs all."""
        with self._lock:
            reasons = sorted({f"rests, for this machine cannot run tasks now: {why}" for why in self._resting.values()})
        lost = "leaves job {} to others for a while, for it lost several of its tasks in a row"
        return "; ".join([*reasons, *(lost.format(job) for job in self._runner.losses.left())])

    def _show_unfit(self) -> None:
        self._membership.update(lambda old: replace(old, unfit=self._unfit()), now=True)

    def _wait(self, pause: float) -> float:
        """Wait for a change of the queue, at most `pause` seconds; return the next pause."""
        lookout = self._claims.lookout
        slots = lookout.workers * self._settings.slot_count  # of the cluster, if others have as many
        seconds_max = max(min(pause, lookout.due_in_seconds), slots / LOOKS_PER_SECOND)
        until = time.monotonic() + seconds_max * (0.75 + random.random() / 2)  # noqa: S311 - jitter
        while not self._draining.is_set() and (left := until - time.monotonic()) > 0:
            seconds, started = min(left, WAIT_SECONDS), time.monotonic()
            self._cluster.coordinator.wait(keys.QUEUE, keys.end_of(keys.QUEUE), lookout.revision, seconds)
            if time.monotonic() - started < seconds * 0.9:
                self._draining.wait(random.random() * slots / WAKES_PER_SECOND)  # noqa: S311 - jitter
                return POLL_SECONDS_MIN
        longest = POLL_SECONDS_LIVE_MAX if lookout.live_jobs else POLL_SECONDS_MAX
        return min(2 * pause, longest)

    def _can_run(self, job: str, head: JobHead) -> bool:
        if self._settings.only_job and job != self._settings.only_job:
            return False
        if self._executor.refuses(head.executable):
            return False
        if self._runner.losses.is_left(job) and self._claims.lookout.workers > 1:
            return False
        if matches(head.requires, self._offers):
            return True
        if job not in self._unfit_jobs:
            self._unfit_jobs.add(job)
            log.warning("job.left", job=job, reason=f"this worker does not offer {required(head.requires)}")
        return False

    def _watch(self) -> None:
        """Look at the tasks in hand when the queue changes: their job may have ended. Heartbeats look, too."""
        checked = 0  # the revision at which they were looked at last
        while not self._ended.is_set():
            with self._lock:
                claimed = [task.claim.revision for task in self._running.values()]
            if not claimed:
                self._ended.wait(WAIT_SECONDS)
                continue
            try:
                started = time.monotonic()
                checked = max(checked, min(self._claims.lookout.revision, *claimed))
                self._cluster.coordinator.wait(keys.QUEUE, keys.end_of(keys.QUEUE), checked, WAIT_SECONDS)
                if time.monotonic() - started < WAIT_SECONDS * 0.9:
                    self._claims.look_again()
                    checked = max(checked, self._check_running({*self._running}))
                    self._ended.wait(JOIN_SECONDS)  # where waits end for nothing, it is not asked all the time
            except CoordinatorError as error:
                log.debug("watch.failed", error=str(error))
                self._ended.wait(POLL_SECONDS_MAX)

    def _on_beat(self) -> None:
        """Show and check the tasks that were in hand at the last heartbeat: a stream of short ones costs nothing."""
        with self._lock:
            lasting, self._at_last_beat = self._running.keys() & self._at_last_beat, {*self._running}
            names = [
                f"{task.claim.at.job}/{task.claim.name}" for nonce, task in self._running.items() if nonce in lasting
            ]
        self._membership.update(lambda old: self._vital(self._now(old, names), old))
        if self._membership.is_asked_to_drain:
            self.drain()
        self._check_running(lasting)

    def _now(self, record: WorkerRecord, running: list[str]) -> WorkerRecord:
        return replace(record, running=running, draining=self.draining, unfit=self._unfit())

    def _vital(self, record: WorkerRecord, before: WorkerRecord) -> WorkerRecord:
        """Return the record with today's counts, where it is written anyway, or has not been for a while."""
        now = time.time()
        if record == before and now - before.beat_seconds < VITALS_SECONDS:
            return record
        return replace(record, done=self._runner.done, failed=self._runner.failed, beat_seconds=now)

    def _check_running(self, nonces: Collection[str]) -> int:
        """Stop tasks whose stage has ended, or that another worker has taken; return at which revision that was so."""
        revision = 0
        with self._lock:
            running = [task for nonce, task in self._running.items() if nonce in nonces]
        for first in range(0, len(running), CHECKED_MAX):
            tasks = running[first : first + CHECKED_MAX]
            looked = [
                (task.claim.key, keys.stage(task.claim.at.job, task.claim.at.stage), task.claim.backup_key)
                for task in tasks
            ]
            answer = self._cluster.transact((), [Range(key) for group in looked for key in group])
            revision = revision or answer.revision
            for task, *found in zip(tasks, answer.found[::3], answer.found[1::3], answer.found[2::3], strict=True):
                own, stage, backup = found
                if backup.items and not task.claim.record.backup:
                    task.backup = TaskRecord.from_json(backup.items[0].value)
                revisions = [item.revision for item in (*own.items, *stage.items)]
                if revisions != [task.claim.revision, task.claim.at.revision]:
                    task.stop.set()
        return revision

    def _give_back_not_begun(self) -> None:
        try:
            for claim in self._claims.not_begun():
                give_back(self._cluster, claim)
        except CoordinatorError as error:
            log.warning("task.abandoned", error=str(error))

    def _hand_over(self) -> None:
        """Give back what is in hand without waiting for its threads: their commits find the fence gone."""
        with self._lock:
            claims = [task.claim for nonce, task in self._running.items() if nonce not in self._handed_over]
            self._handed_over |= self._running.keys()
        if not claims:
            return
        log.warning("worker.hurried", tasks=len(claims), reason="transfers went on past the drain time")
        try:
            for claim in claims:
                give_back(self._cluster, claim)
        except CoordinatorError as error:
            log.warning("task.abandoned", error=str(error))

    def _stop_running(self) -> None:
        with self._lock:
            for task in self._running.values():
                task.give_back = True
                task.stop.set()
