"""A party's connection to the simulated coordinator."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from gomr.backends import Answer, Compare, Coordinator, Item, Operation, Put, Revision
from gomr.errors import Unknown
from tests.simulation.kernel import Kernel, Party
from tests.simulation.keyvalue import KeyValue, kind_of
from tests.simulation.network import Server

PAUSE_SECONDS_MAX = 60.0  # of who waits for the loss of its fence: past a lease, and the take-over after it
LATE_SECONDS_MAX = 3.0  # after that loss, until it goes on
T = TypeVar("T")


class SimulatedCoordinator(Coordinator):
    """The contract of a coordinator, over a network with faults."""

    def __init__(self, kernel: Kernel, server: Server, truth: KeyValue, party: Party) -> None:
        self._kernel = kernel
        self._server = server
        self._truth = truth
        self._party = party

    def transact(
        self,
        compares: Sequence[Compare],
        then: Sequence[Operation],
        orelse: Sequence[Operation] = (),
        *,
        timeout_seconds: float = 10.0,
        durable: bool = False,
    ) -> Answer:
        self._pause_at_weak_spot(compares, then)
        return self._ask(lambda: self._truth.transact(compares, then, orelse), timeout_seconds)

    def grant_lease(self, seconds: float, *, timeout_seconds: float = 10.0) -> int:
        return self._ask(lambda: self._truth.grant(seconds), timeout_seconds)

    def keep_lease(self, lease: int, *, timeout_seconds: float = 10.0) -> float:
        return self._ask(lambda: self._truth.keep(lease), timeout_seconds)

    def revoke_lease(self, lease: int, *, timeout_seconds: float = 10.0) -> None:
        self._ask(lambda: self._truth.revoke(lease), timeout_seconds)

    def wait(self, key: str, end: str, after_revision: int, timeout_seconds: float) -> None:
        kernel, faults = self._kernel, self._server.faults
        kernel.check_alive()
        if faults.happens("watch early"):
            kernel.wait(min(0.001, timeout_seconds))
            return
        if faults.happens("watch lost"):
            kernel.wait(timeout_seconds)
            return
        if self._truth.last_change.get(key.partition("/")[0], 0) > after_revision:
            kernel.wait(self._server.latency_seconds)
            return
        wake = kernel.waker()

        def hear(name: str) -> None:
            if key <= name < end:
                kernel.after(self._server.latency_seconds, wake)

        watchers = self._truth.watchers[key.partition("/")[0]]
        watchers[hear] = hear
        try:
            kernel.wait(timeout_seconds)
        finally:
            del watchers[hear]

    def _pause_at_weak_spot(self, compares: Sequence[Compare], then: Sequence[Operation]) -> None:
        """Stop the party until another has changed what it is about to compare: the moment that fences are for."""
        kernel, faults, party = self._kernel, self._server.faults, self._party
        fences = {compare.key for compare in compares if isinstance(compare, Revision)}
        is_weak = any(isinstance(operation, Put) and kind_of(operation.key) == faults.weak_spot for operation in then)
        if not (fences and is_weak and faults.happens("paused until a fence is lost")):
            return

        def hear(key: str, _before: Item | None, _after: Item | None) -> None:
            if key in fences:
                party.paused_until = kernel.now + kernel.chance.uniform(0.01, LATE_SECONDS_MAX)
                wake()

        kernel.pause(party, PAUSE_SECONDS_MAX)
        wake = kernel.waker()
        self._truth.on_change.append(hear)
        try:
            kernel.wait(PAUSE_SECONDS_MAX)
        finally:
            self._truth.on_change.remove(hear)

    def _ask(self, act: Callable[[], T], timeout_seconds: float) -> T:
        answer = self._server.request(self._party, act, timeout_seconds)
        if answer is None:
            raise Unknown("the simulated coordinator did not answer in time")
        return answer
