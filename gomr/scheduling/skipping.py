"""Gives up records on which a job fails again and again, where the job allows it: the rest is worth having.

After the MapReduce paper (4.6): a record is skipped once more than one attempt has failed on it.
"""

from dataclasses import replace
from typing import Any

from gomr.backends import Compare, Put, Range, Revision, Version
from gomr.model import ATTEMPT_WAITS, MAP_STAGE
from gomr.scheduling import keys
from gomr.scheduling.claims import Claim
from gomr.scheduling.cluster import Cluster
from gomr.scheduling.history import FAILED, with_attempt


def skip(cluster: Cluster, claim: Claim, error: dict[str, Any]) -> bool:
    """Have the next attempt skip the record of `error`, where it failed before and the job may give up one more.

    An error that says it would come again need not have come before. Return whether that was done. Failures on the
    record do not count then.
    """
    record, limit = claim.record, claim.at.head.max_skipped
    place = _place(error)
    if not limit or claim.at.stage != MAP_STAGE or place is None:
        return False
    failed_before = place == _place(record.error)
    if not failed_before and not error.get("final"):
        return False
    if place in record.skip:
        return False  # the executable does not skip
    was_lost = record.error.get("kind") == "host"  # a process that was killed, while it was at this record
    key = keys.skips(claim.at.job)
    while True:
        items = cluster.read(Range(key))[0].items
        count = int(items[0].value) if items else 0
        if count >= limit:
            return False
        waiting = replace(
            record,
            state=ATTEMPT_WAITS,
            failures=max(0, record.failures - (failed_before and not was_lost)),
            losses=max(0, record.losses - (failed_before and was_lost)),
            skip=[*record.skip, place],
            delay_seconds=0.0,
            not_before_seconds=0.0,
            error={},
            history=with_attempt(record, FAILED, error),
        )
        stage = keys.stage(claim.at.job, claim.at.stage)
        compares: list[Compare] = [
            Revision(claim.key, claim.revision),
            Revision(stage, claim.at.revision),
            Revision(key, items[0].revision) if items else Version(key, exists=False),
        ]
        then = [Put(claim.key, waiting.to_json()), Put(key, b"%d" % (count + 1))]
        answer = cluster.transact(compares, then, [Range(claim.key), Range(stage)])
        if answer.ok:
            return True
        found_task, found_stage = ([item.revision for item in found.items] for found in answer.found)
        if found_task != [claim.revision] or found_stage != [claim.at.revision]:
            return True  # a run whose answer was lost did it; or the task is another's, or the stage at its end


def _place(error: dict[str, Any]) -> list[Any] | None:
    """Return which record an error is about, as [source, number]; None for none."""
    number = error.get("record_number")
    if (error.get("kind") != "job" and not error.get("died")) or not isinstance(number, int) or number < 1:
        return None
    return [str(error.get("source", "")), number]
