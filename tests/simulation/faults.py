"""Which faults a seed has, how often, and how many of each came true."""

from collections import Counter
from dataclasses import dataclass, field

from tests.simulation.kernel import Kernel

NETWORK = {  # for one request: the chance of it where a seed has this fault at all
    "request dropped": 0.03,
    "request late": 0.03,
    "request doubled": 0.02,
    "answer lost": 0.03,
    "pause before request": 0.01,
    "command paused before request": 0.15,
    "paused until a fence is lost": 0.5,  # at the seed's weak spot alone
    "crash before request": 0.004,
    "crash after request": 0.004,
    "crash after effect": 0.004,
}
WATCH = {"watch lost": 0.3, "watch early": 0.1}
STORAGE = {
    "storage failed": 0.05,
    "storage did it and failed": 0.03,
    "upload torn": 0.05,
    "upload late": 0.03,
    "deletion late": 0.05,
}
TASK = {
    "task failed": 0.15,
    "machine failed": 0.04,
    "task slow": 0.05,
    "executable refused": 0.01,
    "machine unfit": 0.05,
    "poisoned record": 0.3,
}
EVENTS = {  # how many a minute, where a seed has this fault at all
    "worker killed": 2.0,
    "worker paused": 3.0,
    "command paused": 6.0,
    "command killed": 1.0,
    "all leases lost": 0.5,
    "coordinator restarted": 1.0,
    "coordinator away": 1.0,
    "coordinator full": 0.5,
    "storage away": 0.7,
    "worker drained": 1.0,
    "reboot": 0.3,
}
CHANGE = {  # for one change of a key: what happens at that very moment
    "coordinator away at a change": 0.01,
    "user at a change": 0.01,
}
ACTIONS = {
    "pause": 1.0,
    "resume": 1.5,
    "cancel": 0.7,
    "rerun": 1.0,
    "gc": 4.0,
    "second submit": 2.0,
    "remove": 1.0,
}
THEMES: tuple[tuple[str, ...], ...] = (  # kinds that a seed may have all of, and often
    (),
    (),
    ("gc", "second submit", "remove", "cancel", "command paused before request", "all leases lost", "deletion late"),
    ("cancel", "rerun", "pause", "resume", "remove", "user at a change", "command paused before request"),
    ("worker paused", "pause before request", "task failed", "poisoned record", "answer lost"),
    ("worker paused", "pause before request", "task failed", "poisoned record", "paused until a fence is lost"),
)
THEME_FACTOR = 4.0
WEAK_SPOTS = ("j/t", "j/d", "j/b", "j/c", "j/s", "j/k", "h", "q", "o", "n", "i")
"""Kinds of keys that a transaction writes."""
EMPTIED_SHARE = 0.02  # of the seeds: the coordinator loses all it holds
VERY_LATE_SECONDS_MAX = 120.0  # as long as what a seed is about: a deletion may come at any later time
LATE_SECONDS_MAX = 25.0  # past a lease and past the deadline of a request


@dataclass(slots=True)
class Faults:
    """The faults of one seed: a random subset of all kinds, so that each kind also comes alone (swarm testing)."""

    kernel: Kernel
    rates: dict[str, float] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    over: bool = False
    last_arrival: float = 0.0  # of all late requests
    weak_spot: str = ""  # whoever writes such keys may be stopped until another has changed what it compares

    def draw(self) -> None:
        """Choose which kinds this seed has, and how strong each is."""
        chance = self.kernel.chance
        share = chance.choice((0.15, 0.4, 0.7))
        theme = chance.choice(THEMES)
        self.weak_spot = chance.choice(WEAK_SPOTS)
        for kinds in (NETWORK, WATCH, STORAGE, TASK, EVENTS, CHANGE, ACTIONS):
            for name, rate in kinds.items():
                if name in theme:
                    self.rates[name] = rate * chance.uniform(1.0, THEME_FACTOR)
                elif chance.random() < share:
                    self.rates[name] = rate * chance.uniform(0.3, 2.0)
        if chance.random() < EMPTIED_SHARE:
            self.rates["coordinator emptied"] = 1.0

    def happens(self, name: str) -> bool:
        """Throw the dice for one fault now."""
        rate = self.rates.get(name)
        if rate is None or self.over or self.kernel.chance.random() >= rate:
            return False
        self.counts[name] += 1
        return True

    def late_seconds(self) -> float:
        """Return how late a request shall arrive that is late."""
        seconds = self.kernel.chance.uniform(0.0, LATE_SECONDS_MAX)
        self.last_arrival = max(self.last_arrival, self.kernel.now + seconds)
        return seconds

    def very_late_seconds(self) -> float:
        """Return how late a request shall arrive that no time-out bounds."""
        seconds = self.kernel.chance.uniform(0.0, VERY_LATE_SECONDS_MAX)
        self.last_arrival = max(self.last_arrival, self.kernel.now + seconds)
        return seconds

    def pause_seconds(self) -> float:
        """Return for how long a process shall stop: past a third of a lease, or past a lease and its take-over."""
        chance = self.kernel.chance
        return chance.choice((0.05, 1.0, 12.0, chance.uniform(15.0, 50.0)))

    def next_in_seconds(self, name: str) -> float | None:
        """Return when an event of this kind comes next; None for never."""
        rate = self.rates.get(name)
        return None if rate is None else self.kernel.chance.expovariate(rate / 60.0)
