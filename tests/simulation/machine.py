"""What a simulated worker finds when it asks its machine something."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

from gomr.worker import worker as worker_module

REQUIRES = {"contract": 1, "python": "cp311", "platform": None}  # what simulated jobs ask of a machine


@contextmanager
def machine_replaced(new_worker_id: Callable[[], str]) -> Iterator[None]:
    """Have workers run on a simulated machine within the block."""
    fakes: dict[str, Any] = {
        "offers": lambda: {"contracts": [REQUIRES["contract"]], "pythons": [REQUIRES["python"]], "platform": "linux"},
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
