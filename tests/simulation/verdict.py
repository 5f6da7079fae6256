"""What must be true in the end: every job has ended, none failed for nothing, and nothing useless is left."""

from collections import Counter
from collections.abc import Iterator

from gomr.model import DONE, ENDED, FAILED, REMOVING
from gomr.scheduling import keys
from gomr.scheduling.uploads import held_object
from tests.simulation.auditor import Auditor
from tests.simulation.faults import CHANGE, EVENTS, NETWORK, Faults
from tests.simulation.keyvalue import KeyValue
from tests.simulation.storage import Bucket
from tests.simulation.users import Users

LIVENESS_LEASES = 10  # after the last fault, and beyond the work itself, every job has ended within so many
LOSING = {*NETWORK, *EVENTS, *CHANGE} - {"request doubled", "storage away", "worker drained", "user at a change"}
"""Faults that may cost a worker the task in its hands."""


def unfinished(auditor: Auditor, users: Users) -> Iterator[str]:
    """Yield the jobs that were forgotten, or have not ended; and say so where a command has not."""
    if not users.are_gone():
        yield "a command has not ended"
    for job in sorted({*auditor.jobs(), *(users.submitted - {*+users.removed})}):
        head = auditor.head(job)
        if head is None:
            yield f"{job}: its submit was acknowledged, and it is not there"
        elif head.state not in (*ENDED, REMOVING):
            yield f"{job}: still {head.state} {LIVENESS_LEASES} lease times after the last fault"


def wrongly_failed(auditor: Auditor, faults: Faults, failures: Counter[str]) -> Iterator[str]:
    """Yield the jobs that failed although too few faults were made for it."""
    losses = failures["machines"] + sum(faults.counts[name] for name in LOSING)
    for job in auditor.jobs():
        head = auditor.head(job)
        if head is None or head.state != FAILED:
            continue
        failed = failures[f"{job}/{head.error['task']}"]
        if failed < head.attempts_max and losses < head.losses_max:
            yield f"{job}: failed after {failed} failures and {losses} faults: {head.error}"


def left_over(auditor: Auditor, truth: KeyValue, bucket: Bucket) -> list[str]:
    """Return what should not be there after everybody left and garbage was collected, and what should be."""
    found = [f"a lease is left: {sorted(lease.keys)}" for lease in truth.leases.values()]
    if auditor.emptied:
        return found
    needed = {"cluster.json", "gc/marker"}
    for item in truth.range_items("n/", "n0"):
        if auditor.head(item.value.decode()) is None:
            found.append(f"{item.key} names a job that is not there")
    used = {head.executable_object for job in auditor.jobs() if (head := auditor.head(job))}
    for item in truth.range_items("o/", "o0"):
        if held_object(item) not in used:
            found.append(f"{item.key} is left of an executable of no job")
    for job in auditor.jobs():
        head = auditor.head(job)
        assert head is not None
        needed |= {head.executable_object, f"jobs/{job}/job-{head.record_digest}.json"}
        if head.state == DONE:
            items = truth.range_items(keys.job(job), keys.end_of(keys.job(job)))
            found += [f"{item.key} is left of a finished job" for item in items if item.key.split("/")[2] in "tbd"]
            counted = {
                f"jobs/{job}/{stage}/{index}/{nonce}"
                for (name, stage, index), nonce in auditor.counted.items()
                if name == job and stage == head.stages[-1]
            }
            needed |= counted
            found += [f"{key} of the result is not there" for key in counted - {*bucket.objects}]
    for key in sorted(bucket.objects):
        if key not in needed and "/chunk/" not in key and "/manifest/" not in key and not _is_kept(auditor, key):
            found.append(f"{key} is left in the storage")
    return found


def _is_kept(auditor: Auditor, key: str) -> bool:
    """Say whether an object belongs to a job that may run again, or is being removed."""
    parts = key.split("/")
    head = auditor.head(parts[1]) if parts[0] == "jobs" else None
    return head is not None and head.state != DONE
