"""What a worker has done with a task in hand: the seam between the protocol and the machine."""

import threading
from abc import ABC, abstractmethod
from dataclasses import dataclass, field

from gomr.model import DoneRecord, TaskRecord
from gomr.scheduling.claims import Bid, Claim


@dataclass(slots=True)
class Running:
    """A task in hand: set `stop` to end it; `give_back` says whether it is to be given back.

    `bid` is for the task that its commit claims along; `backup` is the record of the task's backup, where one was seen.
    `unfit` says why this machine could not run the task, where it could not.
    """

    claim: Claim
    stop: threading.Event = field(default_factory=threading.Event)
    give_back: bool = False
    bid: Bid | None = None
    backup: TaskRecord | None = None
    unfit: str = ""


class Executor(ABC):
    """Executes attempts for the slots of one worker. Safe for several threads."""

    @abstractmethod
    def execute(self, running: Running) -> DoneRecord:
        """Fetch, run, and upload one complete object of the attempt's own name; return what a commit is to say of it.

        Raises TaskFailed, InputError, ExecutableRefused, StorageError, CoordinatorError; MachineUnfit where this
        machine can run no task now; OSError for what the task itself may have caused (a full disk).
        """

    @abstractmethod
    def refuses(self, digest: str) -> bool:
        """Say whether this worker has refused the executable."""

    @abstractmethod
    def refuse(self, digest: str, reason: str) -> None:
        """Leave all jobs of this executable to other workers from now on."""

    @abstractmethod
    def close(self) -> None:
        """Let go of what is held open."""
