"""What a simulated worker finds when it asks its machine something, and limits that small clusters never reach."""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType, SimpleNamespace
from typing import Any

from gomr.scheduling import lookout, membership, stages
from gomr.worker import worker as worker_module

PYTHON, OLD_PYTHON = "cp311", "cp310"
REQUIRES = {"contract": 1, "python": PYTHON, "platform": None}  # what simulated jobs ask of a machine


VARIED: dict[tuple[ModuleType, str], tuple[int, ...]] = {  # limits that a small cluster never reaches otherwise
    (lookout, "CROWD"): (0, 1, lookout.CROWD),
    (lookout, "WATCH_CHUNKS_MAX"): (1, lookout.WATCH_CHUNKS_MAX),
    (lookout, "WHOLE_SHARE_MIN"): (2, lookout.WHOLE_SHARE_MIN),
    (membership, "PRESENCE_BATCH"): (1, membership.PRESENCE_BATCH),
    (stages, "CHUNK_SIZE_MIN"): (1, 2, stages.CHUNK_SIZE_MIN),
}


@contextmanager
def limits_varied(chance: random.Random) -> Iterator[None]:
    """Have each limit be reached in some seeds."""
    real = {(module, name): getattr(module, name) for module, name in VARIED}
    for (module, name), values in VARIED.items():
        setattr(module, name, chance.choice(values))
    try:
        yield
    finally:
        for (module, name), value in real.items():
            setattr(module, name, value)


@contextmanager
def machine_replaced(new_worker_id: Callable[[], str], python: Callable[[], str]) -> Iterator[None]:
    """Have workers run on simulated machines within the block; `python` says which one the worker in hand offers."""
    fakes: dict[str, Any] = {
        "offers": lambda: {"contracts": [REQUIRES["contract"]], "pythons": [python()], "platform": "linux"},
        "hide_memory": lambda: None,
        "os": SimpleNamespace(getpid=lambda: 1),
        "JOIN_SECONDS": 3.0,  # a signal is heeded later, and the simulation runs faster
        "WAIT_SECONDS": 3.0,
        "new_worker_id": new_worker_id,
    }
    real = {name: getattr(worker_module, name) for name in fakes}
    vars(worker_module).update(fakes)
    try:
        yield
    finally:
        vars(worker_module).update(real)
