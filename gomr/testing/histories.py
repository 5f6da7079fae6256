"""Records what clients asked of a coordinator and were told, and checks that it is linearizable.

The check is the search of Wing and Gong (1993) with the memory of Lowe (2017): it looks for an order of the operations
in which each takes effect between its start and its end. Every write has a value of its own, so an operation whose
outcome is unknown either was seen, and then took effect before that, or it may as well never have happened.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace

NEVER = float("inf")
READ, WRITE, SWAP = "read", "write", "swap"


@dataclass(frozen=True, slots=True)
class Event:
    """One operation on one key: `value` is what was read, or written; a swap wrote it only over `expected`.

    `ok` says whether a swap was done. The outcome is unknown where `end` is NEVER.
    """

    key: str
    kind: str
    start: float
    end: float
    value: str | None
    expected: str | None = None
    ok: bool = True


def explain(history: Iterable[Event]) -> str:
    """Return "" where the history is linearizable, else the key and its operations that no order explains."""
    keys: dict[str, list[Event]] = defaultdict(list)
    for event in history:
        keys[event.key].append(event)
    for key, events in keys.items():
        if not _is_linearizable(sorted(_settled(events), key=lambda event: event.start)):
            lines = (f"  {event.start:.6f} to {event.end:.6f}: {event}" for event in events)
            return f"no order explains what was seen of {key}:\n" + "\n".join(lines)
    return ""


def _settled(events: list[Event]) -> list[Event]:
    """Return the operations whose outcome is known, or known from what others saw."""
    first_seen: dict[str | None, float] = {}
    for event in events:
        if event.end != NEVER:
            seen = event.value if event.kind == READ else event.expected if event.kind == SWAP and event.ok else None
            first_seen[seen] = min(first_seen.get(seen, NEVER), event.end)
    settled = [event for event in events if event.end != NEVER]
    for event in events:
        if event.end == NEVER and event.kind != READ and event.value in first_seen:
            settled.append(replace(event, end=first_seen[event.value]))
    return settled


def _is_linearizable(events: list[Event]) -> bool:
    all_done = (1 << len(events)) - 1
    seen: set[tuple[int, str | None]] = set()
    stack: list[tuple[int, str | None]] = [(0, None)]
    while stack:
        done, value = stack.pop()
        if done == all_done:
            return True
        open_events = [(number, event) for number, event in enumerate(events) if not done >> number & 1]
        first_end = min(event.end for _, event in open_events)
        for number, event in open_events:
            if event.start > first_end:
                break
            possible, after = _effect(event, value)
            state = (done | 1 << number, after)
            if possible and state not in seen:
                seen.add(state)
                stack.append(state)
    return False


def _effect(event: Event, value: str | None) -> tuple[bool, str | None]:
    """Say whether the operation can take effect now, and the value after it."""
    if event.kind == READ:
        return event.value == value, value
    if event.kind == WRITE:
        return True, event.value
    if event.ok:
        return value == event.expected, event.value
    return value != event.expected, value
