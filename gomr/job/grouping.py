"""Groups values by key within a memory budget: a dict while it fits, sorted runs on disk when it does not.

The same code serves both sides of the shuffle: a map task groups its pairs before it writes blocks, a reduce task
groups the blocks it is given. Within a key, values keep the order in which they were added. They are held as they
travel (values.py), but for those that a well-known reducer folds.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from sys import getsizeof
from typing import Any

from gomr.job.errors import PairError, UserError, shown
from gomr.job.frames import Frame, Writable, write_entries, write_flat, write_groups
from gomr.job.keys import PLAIN_KEYS, Key, order_kind, plain_key
from gomr.job.pairs import SHOWN_CHARACTERS_MAX, as_pair, pairs_of
from gomr.job.reducers import KnownReducer, total
from gomr.job.runs import Partitioning, Run, RunStore, merged, merged_entries
from gomr.job.sizes import KEY_OVERHEAD_BYTES, NUMBER_BYTES, size_of
from gomr.job.values import PLAIN, in_turn, own, packed, unpacked

_ABSENT = object()
_NUMBERS = frozenset({int, float, bool})
_NUMBER_ENTRY_BYTES = NUMBER_BYTES + KEY_OVERHEAD_BYTES + 8  # of a str and a number: as size_of says, without a call
_KEY_ENTRY_BYTES = KEY_OVERHEAD_BYTES + 8
Combine = Callable[[Key, Iterator[Any]], Iterable[Any]]


class Grouper:
    """Collects pairs and frames, and gives them back grouped, partition by partition, keys in order.

    `budget_bytes` bounds the estimated memory of what is collected; `combiner` shrinks it where it can; a
    KnownReducer as combiner is folded as pairs arrive, with no lists of values at all.
    """

    def __init__(
        self,
        store: RunStore,
        budget_bytes: int,
        *,
        combiner: Combine | None = None,
        partitioning: Partitioning,
    ) -> None:
        self._store = store
        self._budget_bytes = budget_bytes
        self._combiner = combiner
        self._fold = combiner.fold if isinstance(combiner, KnownReducer) else None
        self._adds = combiner is total
        self._partitioning = partitioning
        self._groups: dict[Key, Any] = {}  # key -> list of values, or the folded value where there is a fold
        self._used_bytes = 0
        self._runs: list[Run] = []
        self._spills = 0
        self._has_packed = False  # some value that is held, or was spilled, is packed
        self._sorted: list[list[Key]] | None = None

    def add_pairs(self, pairs: Iterable[tuple[Key, Any]]) -> int:
        """Add the pairs of one record; return how many they were. Raises PairError for what is not a pair."""
        return self._fold_pairs(pairs) if self._fold is not None else self._collect_pairs(pairs)

    def add_mapping(self, found: Mapping[Key, Any]) -> int:
        """Add pairs of distinct keys; return how many they were. Keys and sizes are checked all together."""
        if self._fold is None or not self._is_of_numbers(found):
            return self.add_pairs(found.items())
        groups, fold, adds = self._groups, self._fold, self._adds
        before = len(groups)
        if not before:
            groups.update(found)
        else:
            for key, value in found.items():
                if key in groups:
                    try:
                        groups[key] = groups[key] + value if adds else fold(groups[key], value)
                    except Exception as error:
                        raise self._cannot_fold(key, groups[key], value, error) from error
                else:
                    groups[key] = value
        new = len(groups) - before
        if new:
            key_bytes = sum(map(getsizeof, found)) // len(found)
            self._used_bytes += new * (key_bytes + KEY_OVERHEAD_BYTES + NUMBER_BYTES)
        if self._used_bytes > self._budget_bytes:
            self._used_bytes = self._shrink(self._used_bytes)
        return len(found)

    @staticmethod
    def _is_of_numbers(found: Mapping[Key, Any]) -> bool:
        """Say whether a mapping's keys and values can be taken without a look at each."""
        return {*map(type, found)} <= PLAIN_KEYS and {*map(type, found.values())} <= _NUMBERS

    def add_frame(self, frame: Frame) -> None:
        """Add one frame of a block."""
        keys, values = frame.keys, frame.values
        self._has_packed |= frame.has_packed and self._fold is None
        if frame.is_flat:
            found = dict(zip(keys, values, strict=True)) if self._fold is not None else {}
            if len(found) == len(keys) and self._is_of_numbers(found):
                self.add_mapping(found)
            else:  # lists of values have no use for a mapping; nor has a hot key that stands several times
                self._add_travelled(zip(keys, values, strict=True))
        else:
            for key, group in zip(keys, values, strict=True):
                self._add_travelled((key, value) for value in group)

    def _add_travelled(self, pairs: Iterable[tuple[Key, Any]]) -> None:
        """Add pairs of a frame, which were checked, and packed, where they were yielded."""
        if self._fold is not None:
            self._fold_pairs((key, unpacked(value)) for key, value in pairs)
            return
        groups, used = self._groups, self._used_bytes
        for key, value in pairs:
            values = groups.get(key)
            if values is None:
                groups[key] = [value]
                used += size_of(key) + KEY_OVERHEAD_BYTES
            else:
                values.append(value)
            used += NUMBER_BYTES if value.__class__ is int else size_of(value)
            if used > self._budget_bytes:
                used = self._shrink(used)
                groups = self._groups
        self._used_bytes = used

    def groups(self, partition: int) -> Iterator[tuple[Key, Iterator[Any]]]:
        """Yield `(key, values)` of `partition`, keys in order, values in the order they were added.

        Call it for partitions in ascending order, after the last pair. Values may be left unread; the turn of a key's
        values ends when the next one is asked for.
        """
        if not self._runs:
            groups, folds = self._groups, self._fold is not None
            keys = self._partitioned()[partition]
            held = ((key, iter((groups.pop(key),) if folds else groups.pop(key))) for key in keys)
            return in_turn(held, has_packed=self._has_packed)
        if self._groups:
            self._spill()
        return in_turn(
            merged(self._store, self._runs, partition), has_packed=self._has_packed or self._fold is not None
        )

    def flat(self, partition: int) -> tuple[list[Key], list[Any]] | None:
        """Return `(keys, values)` of `partition`, one value a key, or None where it is not as simple as that."""
        if self._runs:
            return None
        keys = self._partitioned()[partition]
        values = list(map(self._groups.__getitem__, keys))
        if self._fold is not None:
            return keys, values
        return (keys, [unpacked(value) for (value,) in values]) if set(map(len, values)) <= {1} else None

    def write(self, file: Writable, partition: int) -> None:
        """Write the entries of `partition` as frames; for partitions in ascending order, as `groups`."""
        if self._runs:
            if self._groups:
                self._spill()
            write_entries(file, merged_entries(self._store, self._runs, partition))
        else:
            self._write_held(file, self._partitioned()[partition])

    def take_over(self, groups: dict[Key, Any], runs: list[Run]) -> None:
        """Start with what was collected by other means: `groups` as this Grouper would hold them, and runs."""
        self._groups, self._runs = groups, runs
        self._used_bytes = sum(size_of(key) + KEY_OVERHEAD_BYTES + size_of(value) for key, value in groups.items())

    @property
    def spills(self) -> int:
        """How many times memory was emptied to disk."""
        return self._spills

    def _fold_pairs(self, pairs: Iterable[tuple[Key, Any]]) -> int:
        groups, fold, adds, used, added = self._groups, self._fold, self._adds, self._used_bytes, 0
        budget, plain, plain_keys = self._budget_bytes, PLAIN, PLAIN_KEYS
        assert fold is not None
        for pair in pairs:
            added += 1
            key, value = pair if pair.__class__ is tuple and len(pair) == 2 else as_pair(pair, "mapper")
            if key.__class__ is not str and key.__class__ not in plain_keys:
                key = plain_key(key)
            if value.__class__ not in plain:
                value = own(value, "mapper")
            before = groups.get(key, _ABSENT)
            if before is not _ABSENT:
                try:
                    groups[key] = after = before + value if adds else fold(before, value)
                except Exception as error:
                    raise self._cannot_fold(key, before, value, error) from error
                if after.__class__ is int or after is before:
                    continue
                used += max(0, size_of(after) - size_of(before))
            elif key.__class__ is str and value.__class__ is int:
                groups[key] = value
                used += getsizeof(key) + _NUMBER_ENTRY_BYTES
            else:
                groups[key] = value
                used += size_of(key) + size_of(value) + KEY_OVERHEAD_BYTES
            if used > budget:
                used = self._shrink(used)
                groups = self._groups
        self._used_bytes = used
        return added

    def _cannot_fold(self, key: Key, before: Any, value: Any, error: Exception) -> PairError:
        kinds = f"{type(before).__name__} and {type(value).__name__}"
        texts = f"{shown(before, SHOWN_CHARACTERS_MAX)} and {shown(value, SHOWN_CHARACTERS_MAX)}"
        return PairError(
            f"{self._combiner!r} cannot take the values {texts} of key {shown(key, SHOWN_CHARACTERS_MAX)} together, "
            f"of types {kinds}: {error}; yield values of one type",
            key=key,
        )

    def _collect_pairs(self, pairs: Iterable[tuple[Key, Any]]) -> int:
        groups, used, added = self._groups, self._used_bytes, 0
        budget, plain, plain_keys = self._budget_bytes, PLAIN, PLAIN_KEYS
        for pair in pairs:
            added += 1
            key, value = pair if pair.__class__ is tuple and len(pair) == 2 else as_pair(pair, "mapper")
            if key.__class__ is not str and key.__class__ not in plain_keys:
                key = plain_key(key)
            if value.__class__ not in plain:
                value = packed(value, "mapper")
                self._has_packed = True
            values = groups.get(key)
            if values is not None:
                values.append(value)
            elif key.__class__ is str:
                groups[key] = [value]
                used += getsizeof(key) + _KEY_ENTRY_BYTES
            else:
                groups[key] = [value]
                used += size_of(key) + KEY_OVERHEAD_BYTES
            used += NUMBER_BYTES if value.__class__ is int else size_of(value)
            if used > budget:  # within a record: one may yield more than the whole budget
                used = self._shrink(used)
                groups = self._groups
        self._used_bytes = used
        return added

    def _shrink(self, used: int) -> int:
        """Make room: combine in memory, and write a run where that does not free half of the budget.

        Takes and returns the estimated bytes in memory.
        """
        if self._combiner is not None and self._fold is None:
            self._combine()
            used = sum(
                size_of(key) + KEY_OVERHEAD_BYTES + sum(map(size_of, values)) for key, values in self._groups.items()
            )
        if used > self._budget_bytes // 2:
            self._spill()
            used = 0
        return used

    def combine_all(self) -> None:
        """Combine what is in memory, before it is written for good."""
        if self._combiner is not None and self._fold is None:
            self._combine()

    def _combine(self) -> None:
        assert self._combiner is not None
        groups, emptied, made_packed = self._groups, [], False
        for key, values in groups.items():
            if len(values) > 1:
                groups[key] = after = combined(self._combiner, key, values, has_packed=self._has_packed)
                made_packed = made_packed or list in map(type, after)
                if not after:
                    emptied.append(key)
        self._has_packed |= made_packed
        for key in emptied:  # a combiner that yields nothing takes the key away
            del groups[key]

    def _partitioned(self) -> list[list[Key]]:
        """Return the keys in memory, sorted, by partition; worked out once, after the last pair."""
        if self._sorted is None:
            self._sorted = self._partitioning.deal(self._groups)
        return self._sorted

    def _spill(self) -> None:
        parts = self._partitioned()

        def write_block(file: Writable, partition: int) -> None:
            self._write_held(file, parts[partition])

        self._runs.append(self._store.write(len(parts), write_block, order_kind(self._groups)))
        self._spills += 1
        self._groups = {}
        self._sorted = None

    def _write_held(self, file: Writable, keys: list[Key]) -> None:
        if self._fold is not None:
            folded = list(map(self._groups.__getitem__, keys))
            write_flat(file, keys, _travelling(keys, folded, repr(self._combiner)))
        else:
            write_groups(file, keys, self._groups)


def _travelling(keys: Collection[Key], values: list[Any], function: str) -> list[Any]:
    """Return values as they travel. Raises PairError with the key of one that cannot."""
    if {*map(type, values)} <= PLAIN:
        return values
    try:
        key: Key = None
        return [packed(value, function) for key, value in zip(keys, values, strict=True)]
    except PairError as error:
        error.key = key
        raise


def combined(combiner: Combine, key: Key, held: list[Any], *, has_packed: bool) -> list[Any]:
    """Return what `combiner` makes of the values of `key`, as they travel, like those that it is given.

    Raises UserError with the key for whatever goes wrong in it, such as another key that it yields.
    """
    result = []
    try:
        for _, values in in_turn([(key, iter(held))], has_packed=has_packed):
            for pair in pairs_of(combiner(key, values), "combiner"):
                new_key, value = pair if pair.__class__ is tuple and len(pair) == 2 else as_pair(pair, "combiner")
                if new_key is not key and plain_key(new_key) != key:
                    given, made = shown(key, SHOWN_CHARACTERS_MAX), shown(new_key, SHOWN_CHARACTERS_MAX)
                    raise PairError(f"combiner: given key {given}, it yielded {made}; it must keep the key")
                result.append(value if value.__class__ in PLAIN else packed(value, "combiner"))
    except (Exception, SystemExit) as error:
        raise UserError(error, record=key, source="combiner") from error
    return result
