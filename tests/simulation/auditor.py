"""What must hold after every step: looked at from outside, on the truth of both servers."""

import hashlib
import json
from collections import Counter
from typing import Any

from gomr.backends import Item
from gomr.model import (
    ATTEMPT_RUNS,
    ATTEMPT_WAITS,
    CANCELLED,
    CLOSED,
    DONE,
    FAILED,
    LIVE,
    OPEN,
    PAUSED,
    REDUCE_STAGE,
    REMOVING,
    RUNNING,
    STOPPED,
    DoneRecord,
    JobHead,
    JobRecord,
    StageRecord,
    TaskRecord,
)
from gomr.scheduling import keys
from tests.simulation.keyvalue import KeyValue
from tests.simulation.storage import Bucket

HEAD_MOVES = {
    RUNNING: {RUNNING, PAUSED, DONE, FAILED, CANCELLED},
    PAUSED: {RUNNING, PAUSED, FAILED, CANCELLED},
    FAILED: {RUNNING, REMOVING, FAILED},
    CANCELLED: {RUNNING, REMOVING, CANCELLED},
    DONE: {REMOVING},
    REMOVING: {REMOVING},
}
COUNTS = {  # from one state of an attempt to the next: the failures and losses that may be added
    (ATTEMPT_RUNS, ATTEMPT_WAITS): {(0, 0), (1, 0), (0, 1), (-1, 0)},  # the last: its record is given up
    (ATTEMPT_RUNS, ATTEMPT_RUNS): {(0, 1)},
    (ATTEMPT_WAITS, ATTEMPT_RUNS): {(0, 0)},
}
STAGE_MOVES = {OPEN: {CLOSED, STOPPED, OPEN}, STOPPED: {OPEN, STOPPED}, CLOSED: {CLOSED}}


class Violation(Exception):
    """Something that must never be, is."""


class Auditor:
    """Watches every change of the coordinator and every deletion from the storage."""

    def __init__(self, truth: KeyValue, bucket: Bucket) -> None:
        self._truth = truth
        self._bucket = bucket
        self.violations: list[str] = []
        self.counts: Counter[str] = Counter()
        self.emptied = False  # the coordinator lost all it held: nothing of the storage may go any more
        self._parsed: dict[bytes, JobHead] = {}
        self._heads: dict[str, JobHead] = {}  # as they were then
        self.counted: dict[tuple[str, str, int], str] = {}  # (job, stage, task) -> nonce of the attempt that counts
        self.unfit: set[str] = set()  # workers that no job fits
        truth.on_change.append(self._changed)
        bucket.on_change.append(self._deleted)

    def head(self, job: str) -> JobHead | None:
        """Return a job's head as it is now."""
        item = self._truth.items.get(keys.head(job))
        if item is None:
            return None
        if item.value not in self._parsed:
            self._parsed[item.value] = JobHead.from_json(item.value)
        return self._parsed[item.value]

    def jobs(self) -> list[str]:
        """Return the ids of all jobs."""
        return [item.key.removeprefix(keys.HEADS) for item in self._truth.range_items(keys.HEADS, "h0")]

    def remember(self) -> None:
        """Remember what the coordinator holds: it is about to lose it."""
        self._heads = {job: head for job in self.jobs() if (head := self.head(job))}
        self.emptied = True

    def check_result(self, job: str) -> None:
        """Check that the result of a finished job holds every map's output once, from one attempt for all reducers."""
        head = self.head(job)
        assert head is not None
        record = JobRecord.from_json(self._bucket.get(keys.job_record(job, head.record_digest)).data)
        maps = self._facts(job, head.stages[0])
        self._expect(
            [task["index"] for task in maps] == list(range(len(record.splits))), f"{job}: maps missing or doubled"
        )
        if REDUCE_STAGE not in head.stages:
            return
        reduces = self._facts(job, REDUCE_STAGE)
        self._expect(
            [task["index"] for task in reduces] == list(range(record.partitions)), f"{job}: reduces missing or doubled"
        )
        for task in reduces:
            key = keys.attempt_object(job, REDUCE_STAGE, task["index"], task["nonce"])
            lines = json.loads(self._bucket.get(key).data)
            expected = [f"{task['index']} {split['index']} {split['nonce']}\n" for split in maps]
            self._expect(lines == expected, f"{job}: partition {task['index']} is not made of each map's output once")

    def _facts(self, job: str, stage: str) -> list[dict[str, Any]]:
        record = StageRecord.from_json(self._truth.items[keys.stage(job, stage)].value)
        manifest = json.loads(self._bucket.get(keys.manifest(job, stage, record.manifest_digest)).data)
        tasks: list[dict[str, Any]] = []
        for digest in manifest["chunks"]:
            tasks += json.loads(self._bucket.get(keys.chunk_record(job, stage, digest)).data)
        return tasks

    def _changed(self, key: str, before: Item | None, after: Item | None) -> None:
        try:
            self._check(key, before, after)
        except Violation as error:
            self.violations.append(str(error))
        except Exception as error:
            self.violations.append(f"{key}: the change cannot be checked: {error!r}")

    def _check(self, key: str, before: Item | None, after: Item | None) -> None:
        parts = key.split("/")
        if parts[0] == "h":
            self._check_head(parts[1], before, after)
        if parts[0] == "n" and before and after:
            self._expect(before.value == after.value, f"{key}: names {after.value!r}, and {before.value!r} is there")
        if parts[0] != "j":
            return
        job, kind = parts[1], parts[2]
        if kind == "s":
            self._check_stage(job, parts[3], before, after)
        elif kind == "d":
            self._check_done(job, parts[3], int(parts[4], 16), int(parts[5], 16), after)
        elif kind == "k" and after is not None:
            self._check_skips(job, int(after.value))
        elif kind in "tb" and after is not None:
            if before is None:
                self._check_claim(job, parts[3], int(parts[5], 16), kind)
            record = TaskRecord.from_json(after.value)
            self._expect(record.worker not in self.unfit, f"{key}: claimed by {record.worker}, which cannot run it")
            self._check_attempt(key, before, record)
        elif kind == "c" and after is not None:
            self._expect(before is None, f"{key}: folded twice")
            self._check_chunk(job, parts[3], int(parts[4], 16), after)

    def _check_head(self, job: str, before: Item | None, after: Item | None) -> None:
        old = JobHead.from_json(before.value).state if before else None
        if after is None:
            self._expect(old == REMOVING, f"{job}: its head went while it was {old}")
            self.counted = {place: nonce for place, nonce in self.counted.items() if place[0] != job}
            return
        head = JobHead.from_json(after.value)
        if old is not None:
            self._expect(head.state in HEAD_MOVES[old], f"{job}: from {old} to {head.state}")
        if head.state == RUNNING:
            self._expect(head.executable_object in self._bucket.objects, f"{job}: opened without executable")
            record = keys.job_record(job, head.record_digest)
            self._expect(record in self._bucket.objects, f"{job}: opened without its record")
        elif head.state == DONE:
            self.check_result(job)
        elif head.state == FAILED:
            self._expect(bool(head.error), f"{job}: failed, and says not why")
            stage, _, index = str(head.error.get("task", "/-1")).partition("/")
            counted = (job, stage, int(index)) in self.counted
            self._expect(not counted, f"{job}: failed by an attempt at {stage}/{index}, which was done already")

    def _check_stage(self, job: str, stage: str, before: Item | None, after: Item | None) -> None:
        if after is None:
            return
        record = StageRecord.from_json(after.value)
        if before is not None:
            old = StageRecord.from_json(before.value)
            self._expect(record.state in STAGE_MOVES[old.state], f"{job}: {stage} from {old.state} to {record.state}")
        if record.state == CLOSED:
            found = [task["index"] for task in self._facts(job, stage)]
            self._expect(found == list(range(record.tasks)), f"{job}: {stage} closed with tasks {found}")

    def _check_claim(self, job: str, stage: str, index: int, kind: str) -> None:
        head = self.head(job)
        self._expect(
            head is not None and head.state == RUNNING, f"{job}: {stage}/{index} claimed of a job that does not run"
        )
        self._expect((job, stage, index) not in self.counted, f"{job}: {stage}/{index} claimed, and done already")
        self.counts[f"({'backups' if kind == 'b' else 'claims'})"] += 1
        if kind == "b":
            chunk = self._chunk_of(job, stage, index)
            has_task = keys.task(job, stage, chunk, index) in self._truth.items
            self._expect(has_task, f"{job}: {stage}/{index} has a backup, and nobody runs it")

    def _check_attempt(self, key: str, before: Item | None, after: TaskRecord) -> None:
        """Check that only who runs an attempt says how it ended, and that each failure and each loss counts once."""
        if before is None:
            self._expect(after.state == ATTEMPT_RUNS, f"{key}: waits, and was never claimed")
            return
        old = TaskRecord.from_json(before.value)
        move = (old.state, after.state)
        is_same = old.nonce == after.nonce
        self._expect(move in COUNTS, f"{key}: from {old.state} to {after.state}")
        self._expect(is_same == (after.state == ATTEMPT_WAITS), f"{key}: ended by an attempt that another has replaced")
        if key.split("/")[2] == "b":  # what a backup comes to is not counted
            return
        counted = (after.failures - old.failures, after.losses - old.losses)
        self._expect(counted in COUNTS[move], f"{key}: {counted[0]} failures and {counted[1]} losses more at once")

    def _check_skips(self, job: str, count: int) -> None:
        head = self.head(job)
        self._expect(head is not None and count <= head.max_skipped, f"{job}: {count} records given up")

    def _chunk_of(self, job: str, stage: str, index: int) -> int:
        return index // StageRecord.from_json(self._truth.items[keys.stage(job, stage)].value).chunk_size

    def _check_done(self, job: str, stage: str, chunk: int, index: int, after: Item | None) -> None:
        folded = keys.chunk(job, stage, chunk) in self._truth.items
        if after is None:
            head = self.head(job)
            removed = head is None or head.state == REMOVING
            self._expect(folded or removed, f"{job}: {stage}/{index} was done, and went")
            return
        done = DoneRecord.from_json(after.value)
        self._expect(not folded, f"{job}: {stage}/{index} committed into a folded chunk")
        counted = self.counted.setdefault((job, stage, index), done.nonce)
        self._expect(counted == done.nonce, f"{job}: {stage}/{index} counted twice")
        stored = self._bucket.objects.get(keys.attempt_object(job, stage, index, done.nonce))
        self._expect(
            stored is not None and len(stored.data) == done.size, f"{job}: {stage}/{index} counts without its object"
        )
        head = self.head(job)
        self._expect(
            head is not None and head.state in LIVE, f"{job}: {stage}/{index} committed to a job that does not run"
        )

    def _check_chunk(self, job: str, stage: str, chunk: int, after: Item) -> None:
        digest = json.loads(after.value)["record"]
        data = self._bucket.get(keys.chunk_record(job, stage, digest)).data
        self._expect(hashlib.sha256(data).hexdigest() == digest, f"{job}: a damaged chunk record")
        stage_record = StageRecord.from_json(self._truth.items[keys.stage(job, stage)].value)
        facts = json.loads(data)
        found = [task["index"] for task in facts]
        self._expect(found == [*stage_record.chunk_tasks(chunk)], f"{job}: chunk {chunk} holds {found}")
        for task in facts:
            counted = self.counted.get((job, stage, task["index"]))
            self._expect(counted == task["nonce"], f"{job}: chunk {chunk} holds an attempt that does not count")

    def _deleted(self, key: str) -> None:
        """Check that nothing needed was deleted from the storage."""
        folder, _, rest = key.partition("/")
        heads = self._heads if self.emptied else {job: head for job in self.jobs() if (head := self.head(job))}
        if folder == "bin":
            users = [job for job, head in heads.items() if head.executable_object == key and head.state != REMOVING]
            if users:
                self.violations.append(f"the executable of {users} was deleted")
        elif folder == "jobs":
            job, _, place = rest.partition("/")
            head = heads.get(job)
            if head is None or head.state == REMOVING:
                return
            stage, _, what = place.partition("/")
            if stage not in head.stages:
                needed = place == f"job-{head.record_digest}.json"
            elif what.split("/")[0] in ("chunk", "manifest"):
                needed = True
            else:
                index, nonce = what.split("/")
                is_result = stage == head.stages[-1] or head.state != DONE
                needed = is_result and self.counted.get((job, stage, int(index))) == nonce
            if needed:
                self.violations.append(f"{key} was deleted while job {job} is {head.state}")

    @staticmethod
    def _expect(holds: bool, what: str) -> None:
        if not holds:
            raise Violation(what)
