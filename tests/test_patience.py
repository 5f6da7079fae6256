"""How long a back end is asked again."""

import pytest

from gomr import patience
from gomr.backends import Storage
from gomr.errors import Unavailable
from gomr.patience import PatientStorage


class Clock:
    """Time that passes only where somebody sleeps or works."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += max(seconds, 0.01)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(patience, "time", clock)
    return clock


def test_patience_ends(clock: Clock) -> None:
    started = clock.now

    def fail() -> None:
        clock.now += 1.0
        raise Unavailable("always")

    with pytest.raises(Unavailable):
        patience.patiently(fail, 30.0)
    assert 30.0 < clock.now - started < 40.0


def test_patience_begins_with_the_first_failure(clock: Clock) -> None:
    """An upload that works for longer than that, and then breaks off once, is tried again."""
    tries = []

    def upload() -> str:
        clock.now += 100.0
        tries.append(clock.now)
        if len(tries) == 1:
            raise Unavailable("broke off at the end")
        return "stored"

    assert patience.patiently(upload, 30.0) == "stored"


def test_a_patient_storage_passes_on_all_that_a_storage_does() -> None:
    """What it left out would be answered by the defaults of the contract, and never reach the plugin."""
    done = {name for name, member in vars(Storage).items() if not name.startswith("_") and callable(member)}
    assert done - {"count"} <= {*vars(PatientStorage)}
