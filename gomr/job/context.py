"""What a job's functions may ask and tell while a task runs: parameters, counters, log lines."""

import operator
import sys
from typing import Any

COUNTERS_MAX = 50  # counters travel in the commit record, whose size is bounded
COUNTER_NAME_CHARACTERS_MAX = 60

_params: dict[str, Any] = {}
_counters: dict[str, int] = {}
_source = ""


def count(name: str, amount: int = 1) -> None:
    """Add `amount` to the job's counter `name`.

    Counters travel with the task's commit, so a task that runs twice counts once. Raises ValueError for a
    51st name in one task, or for a name longer than 60 characters, TypeError for an amount that
    is no whole number.
    """
    amount = operator.index(amount)  # an int, whatever type of number it came as
    if name not in _counters:
        if len(_counters) >= COUNTERS_MAX:
            raise ValueError(f"counter {name!r}: a task may have {COUNTERS_MAX} counters; use fewer names")
        if len(name) > COUNTER_NAME_CHARACTERS_MAX:
            raise ValueError(f"counter {name!r}: a name may have {COUNTER_NAME_CHARACTERS_MAX} characters")
    _counters[name] = _counters.get(name, 0) + amount


def param(name: str) -> Any:
    """Return the value of the job's parameter `name`: the submitted one, or the default in `params`.

    Raises KeyError where the job file's `params` does not name it.
    """
    try:
        return _params[name]
    except KeyError:
        known = ", ".join(sorted(_params)) or "none"
        raise KeyError(f"no parameter {name!r}; the job file's params has: {known}") from None


def log(message: object) -> None:
    """Write `message` as a line of the task's log (`gomr logs JOB`)."""
    sys.stderr.write(f"{message}\n")


def input_name() -> str:
    """Return the URL of the input that the current record comes from; empty in a reducer."""
    return _source


def begin(params: dict[str, Any]) -> None:
    """Start a task: its parameters, no counters."""
    global _source
    _params.clear()
    _params.update(params)
    _counters.clear()
    _source = ""


def set_source(name: str) -> None:
    """Say which input the next records come from."""
    global _source
    _source = name


def params() -> dict[str, Any]:
    """Return the parameters of the task."""
    return dict(_params)


def counters() -> dict[str, int]:
    """Return the counters of the task so far."""
    return dict(_counters)
