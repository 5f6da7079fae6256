"""The keys of the coordinator and of the storage: the only place that spells them.

Coordinator: `cluster`; `w/<worker>` leased; `q/<priority>/<job>` live jobs; `h/<job>` heads of all jobs;
`o/<name>` the object that holds the bytes of an executable or an input; `i/<name>/<nonce>` leased intents of submits to
use what no job names yet; `n/<digest>` the job that an idempotency key names; `f/<job>/<nonce>` leased followers of a
job's logs; `r/<worker>` leased requests that a worker drain; below `j/<job>/` stages `s/<stage>`, tasks in flight `t/`,
their backups `b/`, done `d/`, chunks folded `c/`, dead letters `x/`, and the count of records given up `k`.
"""

import re

from gomr.inputs import COPIES

WORKERS = "w/"
QUEUE = "q/"
HEADS = "h/"
CLUSTER = "cluster"
PRIORITY_MAX = 9
CLUSTER_OBJECT = "cluster.json"
EXECUTABLES = "bin/"
JOB_ID = re.compile(r"[a-z0-9][a-z0-9_.-]{0,60}-[0-9a-f]{12}")


def end_of(prefix: str) -> str:
    """Return the end of the range of keys that start with `prefix`."""
    return prefix[:-1] + chr(ord(prefix[-1]) + 1)


def worker(worker_id: str) -> str:
    """Return the key of a worker."""
    return WORKERS + worker_id


def queue(job_id: str, priority: int) -> str:
    """Return the key of a job that is to be worked on; those of a higher priority come first in key order."""
    return f"{QUEUE}{PRIORITY_MAX - priority}/{job_id}"


def intents(name: str) -> str:
    """Return the prefix of the keys that keep gc from what is about to be used: a folder of the storage."""
    return f"i/{name}/"


def holder(name: str) -> str:
    """Return the key that says which object holds the bytes of an executable or an input."""
    return f"o/{name}"


def idempotency(digest: str) -> str:
    """Return the key of the job that an idempotency key names, by the digest of that key."""
    return f"n/{digest}"


def followers(job_id: str) -> str:
    """Return the prefix of the keys that say somebody follows the job's logs."""
    return f"f/{job_id}/"


def drain_request(worker_id: str) -> str:
    """Return the key that asks a worker to drain."""
    return f"r/{worker_id}"


def job(job_id: str) -> str:
    """Return the prefix of all that belongs to a job but for its head."""
    return f"j/{job_id}/"


def head(job_id: str) -> str:
    """Return the key of a job's head."""
    return HEADS + job_id


def stage(job_id: str, stage_id: str) -> str:
    """Return the key of a stage."""
    return f"j/{job_id}/s/{stage_id}"


def tasks(job_id: str, stage_id: str, chunk: int | None = None) -> str:
    """Return the prefix of tasks in flight, of a stage or one of its chunks."""
    return _chunk_prefix(job_id, "t", stage_id, chunk)


def skips(job_id: str) -> str:
    """Return the key that counts the records that a job has given up."""
    return f"j/{job_id}/k"


def backups(job_id: str, stage_id: str, chunk: int | None = None) -> str:
    """Return the prefix of backups of tasks in flight, of a stage or one of its chunks."""
    return _chunk_prefix(job_id, "b", stage_id, chunk)


def done(job_id: str, stage_id: str, chunk: int | None = None) -> str:
    """Return the prefix of done tasks, of a stage or one of its chunks."""
    return _chunk_prefix(job_id, "d", stage_id, chunk)


def task(job_id: str, stage_id: str, chunk: int, index: int) -> str:
    """Return the key of a task in flight."""
    return f"{tasks(job_id, stage_id, chunk)}{index:08x}"


def backup(job_id: str, stage_id: str, chunk: int, index: int) -> str:
    """Return the key of the backup of a task in flight."""
    return f"{backups(job_id, stage_id, chunk)}{index:08x}"


def dead_letters(job_id: str, stage_id: str) -> str:
    """Return the prefix of what is kept of a stage's tasks that were given up."""
    return f"j/{job_id}/x/{stage_id}/"


def dead_letter(job_id: str, stage_id: str, index: int) -> str:
    """Return the key of what is kept of a task that was given up."""
    return f"{dead_letters(job_id, stage_id)}{index:08x}"


def done_task(job_id: str, stage_id: str, chunk: int, index: int) -> str:
    """Return the key of a done task."""
    return f"{done(job_id, stage_id, chunk)}{index:08x}"


def chunks(job_id: str, stage_id: str) -> str:
    """Return the prefix of a stage's folded chunks."""
    return f"j/{job_id}/c/{stage_id}/"


def chunk(job_id: str, stage_id: str, number: int) -> str:
    """Return the key of a folded chunk."""
    return f"{chunks(job_id, stage_id)}{number:08x}"


def number_of(key: str) -> int:
    """Return the number that a key ends with."""
    return int(key.rpartition("/")[2], 16)


def executable(digest: str) -> str:
    """Return the folder in the storage of the objects that may hold an executable."""
    return f"{EXECUTABLES}{digest}"


def stored_input(digest: str) -> str:
    """Return the folder in the storage of the objects that may hold a copied input."""
    return f"{COPIES}{digest}"


def job_folder(job_id: str) -> str:
    """Return the storage prefix of a job."""
    return f"jobs/{job_id}/"


def job_record(job_id: str, digest: str) -> str:
    """Return the storage key of a job's full record, named by its content."""
    return f"jobs/{job_id}/job-{digest}.json"


def attempt_object(job_id: str, stage_id: str, index: int, nonce: str) -> str:
    """Return the storage key of what one attempt wrote."""
    return f"jobs/{job_id}/{stage_id}/{index}/{nonce}"


def skipped_records(job_id: str, stage_id: str, index: int, nonce: str) -> str:
    """Return the storage key of the records that one attempt set aside."""
    return f"jobs/{job_id}/skipped/{stage_id}/{index}/{nonce}"


def chunk_record(job_id: str, stage_id: str, digest: str) -> str:
    """Return the storage key of a chunk record, named by its content."""
    return f"jobs/{job_id}/{stage_id}/chunk/{digest}"


def manifest(job_id: str, stage_id: str, digest: str) -> str:
    """Return the storage key of a closed stage's manifest, named by its content."""
    return f"jobs/{job_id}/{stage_id}/manifest/{digest}"


def logs(job_id: str, stage_id: str = "", index: int | None = None) -> str:
    """Return the storage prefix of a job's logs, of one stage, or of one task."""
    prefix = f"jobs/{job_id}/logs/"
    if stage_id:
        prefix += f"{stage_id}/"
        if index is not None:
            prefix += f"{index}/"
    return prefix


def log(job_id: str, stage_id: str, index: int, attempt: str) -> str:
    """Return the storage key of one attempt's log; `attempt` is its name."""
    return f"{logs(job_id, stage_id, index)}{attempt}"


def _chunk_prefix(job_id: str, kind: str, stage_id: str, chunk_number: int | None) -> str:
    prefix = f"j/{job_id}/{kind}/{stage_id}/"
    return prefix if chunk_number is None else f"{prefix}{chunk_number:08x}/"
