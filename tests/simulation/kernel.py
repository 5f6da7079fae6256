"""Virtual time: fibers of simulated parties, woken in an order that the seed alone decides."""

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from greenlet import GreenletExit, getcurrent, greenlet


@dataclass(eq=False, slots=True)
class Party:
    """One simulated process: it dies whole, pauses whole, and has clocks of its own."""

    name: str
    rate: float = 1.0  # of its monotonic clock, against true time
    skew_seconds: float = 0.0  # of its wall clock
    alive: bool = True
    paused_until: float = 0.0
    fibers: list["Fiber"] = field(default_factory=list)


class Fiber(greenlet):  # type: ignore[misc] # greenlet ships no types
    """A thread of a party. `turn` tells a wake-up that is still wanted from one that came too late."""

    def __init__(self, kernel: "Kernel", party: Party, function: Callable[[], None]) -> None:
        super().__init__(self._run_to_its_end, kernel.hub)
        self.kernel = kernel
        self.party = party
        self.function = function
        self.turn = 0
        self.ended = False
        self.on_end: list[Callable[[], None]] = []

    def _run_to_its_end(self) -> None:
        try:
            self.function()
        except GreenletExit:
            pass  # its party has died
        except Exception as error:
            self.kernel.problems.append(error)
        finally:
            self.ended = True
            for heard in self.on_end:
                heard()


class Kernel:
    """The clock, the queue of what happens next, and the dice."""

    def __init__(self, seed: int) -> None:
        self.now = 0.0
        self.chance = random.Random(seed)
        self.hub = getcurrent()
        self.problems: list[Exception] = []
        self.steps = 0
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._order = 0

    @property
    def party(self) -> Party | None:
        """The party whose fiber runs now."""
        fiber = getcurrent()
        return fiber.party if isinstance(fiber, Fiber) else None

    def at(self, time: float, action: Callable[[], None]) -> None:
        """Have `action` run at `time`, in the hub: it must not wait."""
        self._order += 1
        heapq.heappush(self._queue, (time, self._order, action))

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        """Have `action` run after `seconds` of true time."""
        self.at(self.now + seconds, action)

    def spawn(self, party: Party, function: Callable[[], None]) -> Fiber:
        """Start a fiber of `party`."""
        fiber = Fiber(self, party, function)
        party.fibers.append(fiber)
        self.at(self.now, lambda: self._resume(fiber, fiber.turn))
        return fiber

    def wait(self, seconds: float | None) -> None:
        """Let the running fiber wait for `wake`, or for so many seconds of its party's clock."""
        fiber = self._fiber()
        fiber.turn += 1
        if seconds is not None:
            turn = fiber.turn
            self.after(max(0.0, seconds) / fiber.party.rate, lambda: self._resume(fiber, turn))
        self.hub.switch()
        if not fiber.party.alive:
            raise GreenletExit

    def waker(self) -> Callable[[], None]:
        """Return what wakes the running fiber from the `wait` that it calls next, and from no later one."""
        fiber = self._fiber()
        turn = fiber.turn + 1

        def wake() -> None:
            if getcurrent() is self.hub:
                self._resume(fiber, turn)
            else:
                self.at(self.now, lambda: self._resume(fiber, turn))

        return wake

    def check_alive(self) -> None:
        """Raise GreenletExit in a fiber whose party has died: what its `finally` blocks do must have no effect."""
        if not self._fiber().party.alive:
            raise GreenletExit

    def crash(self, party: Party) -> None:
        """Kill a party: none of its fibers does anything any more."""
        party.alive = False
        fibers, party.fibers = party.fibers, []
        current = getcurrent()
        for fiber in fibers:
            if fiber is not current and not fiber.ended:
                self.at(self.now, lambda fiber=fiber: self._bury(fiber))  # type: ignore[misc]

    def pause(self, party: Party, seconds: float) -> None:
        """Stop a party for so long, as SIGSTOP and SIGCONT do."""
        party.paused_until = max(party.paused_until, self.now + seconds)

    def run(self, until: float, finished: Callable[[], bool] = lambda: False) -> None:
        """Let things happen until a time, or until nothing is left, or `finished`, or a fiber failed."""
        while self._queue and not self.problems and not finished():
            time, _, action = self._queue[0]
            if time > until:
                self.now = until
                return
            heapq.heappop(self._queue)
            self.now = max(self.now, time)
            self.steps += 1
            action()

    def _resume(self, fiber: Fiber, turn: int) -> None:
        if fiber.ended or fiber.turn != turn or not fiber.party.alive:
            return
        if fiber.party.paused_until > self.now:
            self.at(fiber.party.paused_until, lambda: self._resume(fiber, turn))
            return
        fiber.switch()

    @staticmethod
    def _bury(fiber: Fiber) -> None:
        if not fiber.ended:
            fiber.throw(GreenletExit)

    @staticmethod
    def _fiber() -> Fiber:
        fiber: Any = getcurrent()
        assert isinstance(fiber, Fiber), "only a fiber of a party can wait"
        return fiber
