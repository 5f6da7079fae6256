"""The records that gomr keeps: frozen, and JSON in the coordinator and the storage.

The coordinator holds small ones (a head for each job, a record for each stage, each task in flight, each worker); the
storage holds a job's full record and the facts of its finished tasks.
"""

import functools
import json
import types
from dataclasses import dataclass, field
from typing import Any, Self, get_args, get_origin, get_type_hints

from gomr.errors import GomrError

# The number of this layout; a worker leaves jobs of a higher one alone. 2: inputs say how they are compressed.
RECORD_FORMAT = 2

RUNNING, PAUSED, DONE, FAILED, CANCELLED, REMOVING = "running", "paused", "done", "failed", "cancelled", "removing"
LIVE = (RUNNING, PAUSED)
ENDED = (DONE, FAILED, CANCELLED)
OPEN, CLOSED, STOPPED = "open", "closed", "stopped"
ATTEMPT_RUNS, ATTEMPT_WAITS = "run", "wait"
SPOOLED = "spooled://"  # the URL of what a submit has read from a pipe, until it is copied into the storage
LOSSES_MAX = 5  # a task that ends five workers or machines is the task's fault (bigslice: maxConsecutiveLost)
STORED = "stored://"  # the URL of an input that was copied into the cluster's storage at submit
MAP_STAGE, REDUCE_STAGE = "1-map", "1-reduce"  # of step 1; a job of several steps will have 2-map and so on


class Record:
    """Base of the records: to JSON and back."""

    def to_json(self) -> bytes:
        """Return the record as one line of JSON."""
        facts = {name: getattr(self, name) for name in _kinds(type(self))}  # type: ignore[arg-type]
        return json.dumps(facts, separators=(",", ":")).encode()

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """Read a record; fields that this version does not know are dropped. Raises GomrError for no record."""
        try:
            facts = json.loads(data)
            kinds = _kinds(cls)  # type: ignore[arg-type] # a class is hashable
            known = {name: value for name, value in facts.items() if name in kinds}
            for name, value in known.items():
                if not isinstance(value, kinds[name]):
                    raise TypeError(f"{name} is a {type(value).__name__}")
            return cls(**known)
        except (ValueError, TypeError, AttributeError, RecursionError) as error:
            raise GomrError(f"a damaged {cls.__name__} in the coordinator or the storage: {error}") from error


@functools.cache
def _kinds(record: Any) -> dict[str, tuple[type, ...]]:
    """Return the types that each field of a record takes in JSON; what is inside lists and objects is not looked at."""
    kinds = {}
    for name, hint in get_type_hints(record).items():
        options = get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
        found = tuple(get_origin(option) or option for option in options)
        kinds[name] = (float, int) if found == (float,) else found
    return kinds


def attempt_name(attempt: int, *, backup: bool) -> str:
    """Return the name of an attempt for people and logs."""
    return f"{attempt}-backup" if backup else str(attempt)


@dataclass(frozen=True, slots=True)
class JobHead(Record):
    """A job as workers watch it: its state, and which stage is open."""

    name: str
    state: str
    stage: str
    stages: list[str]
    executable: str
    record_digest: str
    created_seconds: float
    requires: dict[str, Any]
    attempts_max: int
    executable_object: str = ""  # its key in the storage
    idempotency: str = ""  # the digest of the key that names the job, or ""
    finished_seconds: float = 0.0
    error: dict[str, Any] = field(default_factory=dict)
    rerun: str = ""
    priority: int = 5
    backups: bool = True
    max_skipped: int = 0
    losses_max: int = LOSSES_MAX
    input_bytes: int = 0
    format: int = RECORD_FORMAT


@dataclass(frozen=True, slots=True)
class StageRecord(Record):
    """One stage: `tasks` in chunks of `chunk_size`; `manifest_digest` once it is closed."""

    tasks: int
    chunk_size: int
    state: str
    manifest_digest: str = ""

    @property
    def chunks(self) -> int:
        """How many chunks the tasks fall into."""
        return -(-self.tasks // self.chunk_size)

    def chunk_tasks(self, chunk: int) -> range:
        """Return the task numbers of a chunk."""
        return range(chunk * self.chunk_size, min(self.tasks, (chunk + 1) * self.chunk_size))


@dataclass(frozen=True, slots=True)
class TaskRecord(Record):
    """A task in flight, or waiting for its next attempt. `nonce` tells this attempt from every other."""

    state: str
    attempt: int
    worker: str
    nonce: str
    failures: int = 0
    losses: int = 0
    not_before_seconds: float = 0.0
    delay_seconds: float = 0.0
    error: dict[str, Any] = field(default_factory=dict)
    backup: bool = False
    skip: list[list[Any]] = field(default_factory=list)  # records that failed twice, each [source, number]
    trace: bool = False  # whether the process is to say which record it is at, for an earlier one died
    started_seconds: float = 0.0  # when it was claimed, by its worker's clock
    history: list[dict[str, Any]] = field(default_factory=list)  # of attempts before it: see gomr.scheduling.history

    @property
    def attempt_name(self) -> str:
        """The attempt's name for people and logs: its number, and whether it is a backup."""
        return attempt_name(self.attempt, backup=self.backup)


@dataclass(frozen=True, slots=True)
class DoneRecord(Record):
    """What a committed attempt did; bounded, because it lives in the coordinator until its chunk is folded."""

    nonce: str
    attempt: int
    worker: str
    size: int
    checksum: str  # of a part of the result, or ""
    blocks: list[list[int]] | None
    records_in: int
    records_out: int
    bytes_in: int
    spills: int
    peak_memory_bytes: int
    fetch_seconds: float
    run_seconds: float
    write_seconds: float
    counters: dict[str, int]
    failures: int = 0
    losses: int = 0
    requests: dict[str, int] = field(default_factory=dict)
    skipped: int = 0
    started_seconds: float = 0.0  # by its worker's clock
    wait_seconds: float = 0.0  # for a slot, between fetch and run
    backup: bool = False
    history: list[dict[str, Any]] = field(default_factory=list)

    @property
    def attempt_name(self) -> str:
        """The attempt's name for people and logs: its number, and whether it is a backup."""
        return attempt_name(self.attempt, backup=self.backup)

    @property
    def seconds(self) -> float:
        """How long the attempt took."""
        return self.fetch_seconds + self.run_seconds + self.write_seconds


@dataclass(frozen=True, slots=True)
class WorkerRecord(Record):
    """A live worker: where it runs, what it offers, what it refused to run and why.

    `unfit` says why it rests, or leaves a job to others. `done` and `failed` count its attempts, as of `beat_seconds`:
    the record is written when something else in it changes, and once a minute.
    """

    host: str
    pid: int
    slots: int
    version: str
    started_seconds: float
    offers: dict[str, Any]
    running: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    draining: bool = False
    unfit: str = ""
    memory_bytes: int = 0  # of the machine
    plugins: list[str] = field(default_factory=list)
    done: int = 0
    failed: int = 0
    beat_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Input:
    """An input as it was at submit; `version` tells whether it changed since.

    `url` is STORED + digest/nonce for a copy in the cluster's own storage, and `name` then says what it is a copy of.
    `compression` is what its bytes say it is (`gomr.content`), "" for none; None where the submit has not looked at
    them: the input is read whole, and its worker looks.
    """

    url: str
    size: int
    version: str
    name: str = ""
    compression: str | None = None

    @property
    def shown(self) -> str:
        """What the user calls the input."""
        return self.name or self.url


@dataclass(frozen=True, slots=True)
class JobRecord(Record):
    """The whole of a job as it was submitted, in the storage, named by its digest.

    `inputs` are Input fields as dicts; `splits` holds for each map task its pieces, each `[input, offset, length]`;
    `ranges` the first keys of all partitions of a sort but the first, in hexadecimal.
    """

    job: str
    name: str
    executable: str
    describe: dict[str, Any]
    inputs: list[dict[str, Any]]
    splits: list[list[list[int]]]
    params: dict[str, Any]
    partitions: int
    memory_bytes: int
    task_seconds: float
    attempts_max: int
    output_format: str
    split_bytes: int
    created_seconds: float
    submitter: str
    version: str
    priority: int = 5
    backups: bool = True
    max_skipped: int = 0
    losses_max: int = LOSSES_MAX
    ranges: list[str] = field(default_factory=list)
    format: int = RECORD_FORMAT

    def input(self, number: int) -> Input:
        """Return one input."""
        return Input(**self.inputs[number])
