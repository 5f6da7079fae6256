"""The native core, where the executable carries one (the distribution gomr-native), and merges by it.

What the core does not take, it refuses; the standard-library path then takes over, and gives the same result.
"""

import contextlib
import importlib
from collections.abc import Iterator
from typing import Any

from gomr.job.reducers import KnownReducer
from gomr.job.runs import Block, Run, RunStore, that_fit
from gomr.job.values import refuse_reading

core: Any
try:
    core = importlib.import_module("gomr_native._core")
except ImportError:  # not built in, or built for another platform than this one
    core = None


def fold_of(reducer: object) -> int:
    """Return the core's number for what a well-known reducer does; that for keeping all values for any other."""
    return int(getattr(core, reducer.name.upper())) if isinstance(reducer, KnownReducer) else int(core.KEEP)


def fits(block: Block) -> bool:
    """Say whether the core can read every frame of a block. Raises OSError for a damaged one."""
    return bool(core.scan(*block)[1])


@contextlib.contextmanager
def merged(store: RunStore, blocks: list[Block], fold: int) -> Iterator[Any]:
    """Yield the core's merge of sorted blocks, in their order; first merge some where memory holds too few frames.

    Raises OSError for a damaged block, `core.Unfit` for one that the core cannot read.
    """
    made: list[Run] = []
    while len(groups := list(that_fit(blocks, store.memory_bytes, frame_bytes))) > 1:
        before, made = made, [_merged_run(store, group, fold) for group in groups]
        store.remove(before)
        blocks = [(str(run.path), *run.place(0)) for run in made]
    yield core.Merge(blocks, fold, refuse_reading)
    store.remove(made)


def frame_bytes(block: Block) -> int:
    """Return the size of a block's largest frame. Raises OSError for a damaged one."""
    return int(core.scan(*block)[0])


def _merged_run(store: RunStore, blocks: list[Block], fold: int) -> Run:
    return store.write(1, lambda file, _partition: core.Merge(blocks, fold, refuse_reading).write(file.write))
