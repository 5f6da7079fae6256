"""The native core, where the executable carries one (the distribution gomr-native), and merges by it.

What the core does not take, it refuses; the standard-library path then takes over, and gives the same result.
"""

import importlib
from collections.abc import Iterator
from typing import Any

from gomr.job.reducers import KnownReducer
from gomr.job.runs import Run, RunStore

core: Any
try:
    core = importlib.import_module("gomr_native._core")
except ImportError:  # not built in, or built for another platform than this one
    core = None

Block = tuple[str, int, int]  # a path, and where in that file: offset and length


def fold_of(reducer: object) -> int:
    """Return the core's number for what a well-known reducer does; that for keeping all values for any other."""
    return int(getattr(core, reducer.name.upper())) if isinstance(reducer, KnownReducer) else int(core.KEEP)


def fits(block: Block) -> bool:
    """Say whether the core can read every frame of a block. Raises OSError for a damaged one."""
    return bool(core.scan(*block)[1])


def open_merge(store: RunStore, blocks: list[Block], fold: int) -> Any:
    """Return the core's merge of sorted blocks, in their order; first merge some where memory holds too few frames.

    Raises OSError for a damaged block, `core.Unfit` for one that the core cannot read.
    """
    made: list[Run] = []
    while len(groups := list(_that_fit(blocks, store.memory_bytes))) > 1:
        before, made = made, [_merged(store, group, fold) for group in groups]
        store.remove(before)
        blocks = [(str(run.path), 0, run.offsets[-1]) for run in made]
    return core.Merge(blocks, fold)


def _that_fit(blocks: list[Block], memory_bytes: int) -> Iterator[list[Block]]:
    """Yield runs of blocks of which a frame each fits into memory; two blocks at least, or there would be no end."""
    group: list[Block] = []
    group_bytes = 0
    for block in blocks:
        frame_bytes = core.scan(*block)[0]
        if len(group) >= 2 and group_bytes + frame_bytes > memory_bytes:
            yield group
            group, group_bytes = [], 0
        group.append(block)
        group_bytes += frame_bytes
    yield group


def _merged(store: RunStore, blocks: list[Block], fold: int) -> Run:
    return store.write(1, lambda file, _partition: core.Merge(blocks, fold).write(file.write))
