"""Groups values by key in the native core, and goes on as a Grouper once it meets what the core does not take."""

import os
from collections.abc import Iterable, Mapping
from itertools import chain, islice
from typing import Any

from gomr.job import native
from gomr.job.frames import Writable, write_entries
from gomr.job.grouping import Combine, Grouper, combined
from gomr.job.keys import Key
from gomr.job.reducers import KnownReducer
from gomr.job.runs import Partitioning, Run, RunStore

DRAIN_SHARE = 4  # of the budget: a table of at most this part is taken over as a dict, which is several times as large


def _seed() -> int:
    """Return a number that nobody can guess. (`secrets` loads OpenSSL, which each fork of the server then maps.)"""
    return int.from_bytes(os.urandom(8))


class NativeGrouper:
    """Does what a Grouper does for a map task, with its blocks."""

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
        self._combiner = None if isinstance(combiner, KnownReducer) else combiner
        self._fold = native.fold_of(combiner)
        self._partitioning = partitioning
        self._table = native.core.Table(self._fold, budget_bytes, _seed())
        self._is_dealt = False
        self._runs: list[Run] = []
        self._spills = 0
        self._grouper = Grouper(store, budget_bytes, combiner=combiner, partitioning=partitioning)
        self._is_native = True
        self._made: list[Any] = []  # what the combiner made last
        self._is_unfit = False  # a run holds what the core cannot read, which a combiner made

    def add_pairs(self, pairs: Iterable[tuple[Key, Any]]) -> int:
        """Add the pairs of one record; return how many they were. Raises PairError for what is not a pair."""
        if not self._is_native:
            return self._grouper.add_pairs(pairs)
        table, iterator = self._table, iter(pairs)
        before: int = table.pairs
        while (status := table.add(iterator)) != native.core.ADDED_ALL:
            if status == native.core.IS_REFUSED:
                self._hand_over()
                added = int(table.pairs - before)
                return added + self._grouper.add_pairs(chain(table.refused, iterator))
            self._spill()
        return int(table.pairs - before)

    def add_mapping(self, found: Mapping[Key, Any]) -> int:
        """Add pairs of distinct keys; return how many they were."""
        if not self._is_native:
            return self._grouper.add_mapping(found)
        if not isinstance(found, dict) or type(found).items is not dict.items:
            return self.add_pairs(found.items())
        status, added = self._table.add_dict(found, 0)
        while status != native.core.ADDED_ALL:
            if status == native.core.IS_REFUSED:
                self._hand_over()
                return int(added) + self._grouper.add_pairs(islice(found.items(), added, None))
            self._spill()
            status, added = self._table.add_dict(found, added)
        return len(found)

    def combine_all(self) -> None:
        """Combine what is in memory; the core does so as it writes."""
        self._grouper.combine_all()

    def write(self, file: Writable, partition: int) -> None:
        """Write the entries of `partition` as frames; for partitions in ascending order, after the last pair."""
        if self._is_native and self._runs:
            if self._table.keys:
                self._spill()
            if self._is_unfit:
                self._hand_over()
        if not self._is_native:
            self._grouper.write(file, partition)
        elif not self._runs:
            self._write_table(file, partition)
        else:
            blocks = [(str(run.path), *run.place(partition)) for run in self._runs]
            with native.merged(self._store, blocks, self._fold) as merge:
                merge.write(file.write)

    @property
    def spills(self) -> int:
        """How many times memory was emptied to disk."""
        return self._spills + self._grouper.spills

    def _spill(self) -> None:
        self._runs.append(self._store.write(self._partitioning.count, self._write_table))
        self._spills += 1
        self._table.clear()
        self._is_dealt = False

    def _write_table(self, file: Writable, partition: int) -> None:
        if not self._is_dealt:
            of = self._partitioning.of and self._partitioning.chosen
            self._table.deal(self._partitioning.count, of)
            self._is_dealt = True
        combine = self._combiner and self._combine
        written = self._table.write(partition, file.write, combine)
        rest = self._table.entries(partition, written)
        if rest:  # the combiner made something that the core cannot write
            self._is_unfit = True
            first = (rest[0][0], self._made)
            combined_rest = (
                (key, self._combine(key, values) if len(values) > 1 else values) for key, values in rest[1:]
            )
            write_entries(file, (entry for entry in chain((first,), combined_rest) if entry[1]))

    def _combine(self, key: Key, values: list[Any]) -> list[Any]:
        assert self._combiner is not None
        self._made = combined(self._combiner, key, values, has_packed=False)
        return self._made

    def _hand_over(self) -> None:
        """Let the Grouper go on from what the core has collected."""
        if self._table.used_bytes > self._budget_bytes // DRAIN_SHARE:
            self._spill()
        self._grouper.take_over(self._table.drain(), self._runs)
        self._is_native = False
