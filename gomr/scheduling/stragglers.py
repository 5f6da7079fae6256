"""Finds tasks that take far longer than their like: a second worker may run them too, and the first commit counts.

The rule is Spark's speculation (quantile 0.75, multiplier 1.5), with the bound on extra work of the MapReduce paper.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from gomr.backends import Item, Range
from gomr.model import DoneRecord
from gomr.scheduling import keys
from gomr.scheduling.cluster import Cluster
from gomr.scheduling.stages import StageView

DONE_SHARE_MIN = 0.75  # of the stage's tasks: before that, there is other work, and little to compare with
SLOWNESS = 1.5  # times the median of those that are done
SECONDS_MIN = 10.0  # a task that is done sooner is not worth a second try
BACKUPS_SHARE_MAX = 0.05  # of the stage's tasks, and at least one
SAMPLE = 64  # done tasks that a median is taken of, besides those of the folded chunks


@dataclass(frozen=True, slots=True)
class Watched:
    """A task that another worker runs, and for how many seconds this one has seen it do so."""

    chunk: int
    index: int
    item: Item
    seconds: float


def stragglers(cluster: Cluster, at: StageView, watched: Sequence[Watched]) -> Iterator[tuple[Watched, Item | None]]:
    """Yield the tasks of `watched` that are worth a second try, each with the record of its backup where it has one."""
    slow = [task for task in watched if task.seconds > SECONDS_MIN]
    if not slow:
        return
    done, folded, backups = keys.done(at.job, at.stage), keys.chunks(at.job, at.stage), keys.backups(at.job, at.stage)
    done_count, chunks, sample, running = cluster.read(
        Range(done, keys.end_of(done), count_only=True),
        Range(folded, keys.end_of(folded)),
        Range(done, keys.end_of(done), limit=SAMPLE),
        Range(backups, keys.end_of(backups)),
    )
    facts = [json.loads(item.value) for item in chunks.items]
    if done_count.count + sum(fact["tasks"] for fact in facts) < DONE_SHARE_MIN * at.record.tasks:
        return
    seconds = [DoneRecord.from_json(item.value).seconds for item in sample.items]
    seconds += [fact["median_seconds"] for fact in facts]
    if not seconds:
        return
    limit = max(SECONDS_MIN, SLOWNESS * median(seconds))
    by_index = {keys.number_of(item.key): item for item in running.items}
    room = max(1, int(BACKUPS_SHARE_MAX * at.record.tasks)) - len(by_index)
    for task in slow:
        backup = by_index.get(task.index)
        if task.seconds > limit and (backup is not None or room > 0):
            yield task, backup
