"""Requests of a party to a simulated server: delayed, dropped, doubled, late, their answers lost."""

from collections.abc import Callable
from typing import TypeVar

from tests.simulation.faults import Faults
from tests.simulation.kernel import Kernel, Party

T = TypeVar("T")


class Server:
    """What answers requests, while it is up."""

    def __init__(self, kernel: Kernel, faults: Faults, latency_seconds: float) -> None:
        self.kernel = kernel
        self.faults = faults
        self.latency_seconds = latency_seconds
        self.away_until = 0.0

    def request(self, party: Party, act: Callable[[], T], timeout_seconds: float) -> T | None:
        """Have the server run `act`; return what it answered, or None where no answer came in time.

        What `act` raises is an answer, too.
        """
        kernel, faults = self.kernel, self.faults
        kernel.check_alive()
        if faults.happens("crash before request"):
            kernel.crash(party)
            kernel.check_alive()
        is_command = party.name.startswith("command")
        if faults.happens("command paused before request" if is_command else "pause before request"):
            kernel.pause(party, faults.pause_seconds())
            kernel.wait(0.0)
        answer: list[tuple[T | None, Exception | None]] = []
        wake = kernel.waker()

        def arrive(is_heard: bool) -> None:
            if self.away_until > kernel.now:
                return
            result: T | None = None
            failure: Exception | None = None
            try:
                result = act()
            except Exception as error:  # carried to the one who asked
                failure = error
            if faults.happens("crash after effect"):
                kernel.crash(party)
            elif is_heard and not faults.happens("answer lost"):

                def hear() -> None:
                    if self.away_until > kernel.now:
                        return
                    answer.append((result, failure))
                    wake()

                kernel.after(self._latency(), hear)

        if not faults.happens("request dropped"):
            late = faults.late_seconds() if faults.happens("request late") else 0.0
            kernel.after(self._latency() + late, lambda: arrive(True))
            if faults.happens("request doubled"):
                kernel.after(self._latency() + faults.late_seconds(), lambda: arrive(False))
        if faults.happens("crash after request"):
            kernel.crash(party)
            kernel.check_alive()
        kernel.wait(timeout_seconds)
        if not answer:
            return None
        result, failure = answer[0]
        if failure is not None:
            raise failure
        return result

    def _latency(self) -> float:
        return self.latency_seconds * self.kernel.chance.uniform(0.2, 2.0)
