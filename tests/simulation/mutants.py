"""Bugs that are put into gomr's core on purpose: the simulation must find each of them."""

import inspect
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from tests.simulation.stdlib import CORE


@dataclass(frozen=True, slots=True)
class Mutant:
    """A change of the source of one function, `module:function` or `module:Class.method`."""

    name: str
    place: str
    edits: tuple[tuple[str, str], ...]

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Run the core with this bug in it. Raises LookupError where the core does not read so any more."""
        module_name, _, path = self.place.partition(":")
        module = import_module(f"gomr.{module_name}")
        owner_name, _, name = path.rpartition(".")
        owner: Any = getattr(module, owner_name) if owner_name else module
        real = inspect.unwrap(getattr(owner, name))
        source = textwrap.dedent(inspect.getsource(getattr(owner, name)))
        for old, new in self.edits:
            if source.count(old) != 1:
                raise LookupError(f"{self.name}: {old!r} is {source.count(old)} times in {self.place}")
            source = source.replace(old, new)
        namespace = vars(module)
        scope: dict[str, Any] = {}
        exec(compile(source, f"<mutant {self.name}>", "exec"), namespace, scope)
        mutated = scope[name]
        holders = [owner, *(sys.modules[core] for core in CORE if core in sys.modules)]
        changed = [holder for holder in holders if vars(holder).get(name) in (getattr(owner, name), real)]
        original = getattr(owner, name)
        for holder in changed:
            setattr(holder, name, mutated)
        try:
            yield
        finally:
            for holder in changed:
                setattr(holder, name, original)


def _without(name: str, place: str, text: str) -> Mutant:
    return Mutant(name, place, ((text, ""),))


READS_WHAT_IT_FINDS = """
    import dataclasses
    stage, _ = self._cluster.stage(at.job, MAP_STAGE)
    attempts = {}
    for info in self._cluster.storage.list(f"jobs/{at.job}/{MAP_STAGE}/"):
        attempts[info.key.split("/")[3]] = info.key.split("/")[4]
    found = []
    for task in finished_tasks(self._cluster, at.job, MAP_STAGE, stage.manifest_digest):
        done = dataclasses.replace(task.done, nonce=attempts[str(task.index)])
        found.append(dataclasses.replace(task, done=done))
    return found
    stage, _ ="""
READS_HEAD = """\
        Revision(keys.head(at.job), at.head_revision),  # it changes where the job is paused
"""
RECORD, COMMIT = "scheduling.claims:Claims._record", "scheduling.attempts:commit"
FOLD, CLOSE = "scheduling.stages:fold", "scheduling.stages:close"
MUTANTS = (
    _without(
        "claim-forgets-done",
        RECORD,
        "            Version(keys.done_task(at.job, at.stage, candidate.chunk, candidate.index), exists=False),\n",
    ),
    _without(
        "claim-forgets-folded",
        RECORD,
        "            Version(keys.chunk(at.job, at.stage, candidate.chunk), exists=False),\n",
    ),
    Mutant("take-over-blindly", RECORD, (("= [Revision(key, candidate.item.revision)]", "= []"),)),
    Mutant("commit-claims-blindly", COMMIT, (("[*compares, *bid.compares]", "[*compares]"),)),
    _without("commit-leaves-backup", COMMIT, "        Delete(claim.backup_key),\n"),
    _without("commit-without-fence", COMMIT, "    Revision(claim.key, claim.revision),\n"),
    _without("commit-into-ended-stage", COMMIT, "    Revision(keys.stage(at.job, at.stage), at.revision),\n"),
    _without("commit-leaves-claim", COMMIT, "    Delete(claim.task_key),\n"),
    Mutant(
        "commit-deletes-what-counts",
        COMMIT,
        (("ours = DoneRecord.from_json(stored.items[0].value).nonce == done.nonce", "ours = False"),),
    ),
    Mutant(
        "unknown-commit-is-refused",
        "worker.attempt:AttemptRunner._attempt",
        (
            (
                "    ended = attempts.commit(self._cluster, claim, done, running.bid)\n",
                "    try:\n"
                "        self._cluster.coordinator.transact((), ())\n"
                "        ended = attempts.commit(self._cluster, claim, done, running.bid)\n"
                "        self._cluster.coordinator.transact((), ())\n"
                "    except CoordinatorError:\n"
                "        ended = attempts.Ended(False, own_object_useless=True)\n",
            ),
        ),
    ),
    _without("fail-without-fence", "scheduling.attempts:_replace", "    Revision(claim.key, claim.revision),\n"),
    Mutant(
        "fail-job-without-fence",
        "scheduling.attempts:_fail_job",
        (
            ("            Revision(claim.key, claim.revision),\n", ""),
            ("found_task.items[0].revision != claim.revision or ", ""),
            ("if not (found_task.items and ", "if not ("),
        ),
    ),
    Mutant(
        "failures-count-double",
        "scheduling.attempts:fail",
        (("record.failures + (not host)", "record.failures + 2 * (not host)"),),
    ),
    Mutant(
        "losses-count-as-failures",
        "scheduling.attempts:fail",
        (("record.failures + (not host)", "record.failures + 1"),),
    ),
    Mutant(
        "postponing-counts-as-failure",
        "scheduling.attempts:postpone",
        (("state=ATTEMPT_WAITS,", "state=ATTEMPT_WAITS, losses=claim.record.losses + 5,"),),
    ),
    Mutant("skips-without-limit", "scheduling.skipping:skip", (("if count >= limit:", "if False:"),)),
    Mutant(
        "skip-without-fence",
        "scheduling.skipping:skip",
        (("            Revision(claim.key, claim.revision),\n", ""),),
    ),
    _without("fold-twice", FOLD, "        Version(keys.chunk(at.job, at.stage, chunk), exists=False),\n"),
    _without("fold-stores-nothing", FOLD, "cluster.storage.create(key, data)"),
    Mutant(  # each of the two holds alone: both change together
        "close-without-fences",
        CLOSE,
        (
            ("    Revision(keys.stage(at.job, at.stage), at.revision),\n", ""),
            ("    Revision(keys.head(at.job), at.head_revision),\n", ""),
        ),
    ),
    _without("close-stores-nothing", CLOSE, "cluster.storage.create(manifest_key, data)"),
    Mutant(
        "cancel-without-fences",
        "scheduling.control:cancel",
        (("Revision(keys.head(job), head_revision), Revision(keys.stage(job, head.stage), stage_revision)", ""),),
    ),
    Mutant(
        "rerun-without-fences",
        "scheduling.control:rerun",
        (
            ("            Revision(keys.head(job), head_revision),\n", ""),
            ("            Revision(keys.stage(job, head.stage), stage_revision),\n", ""),
        ),
    ),
    _without("pause-stops-nobody", "scheduling.claims:Claims._bid", READS_HEAD),
    Mutant(  # each of the two holds alone: what is put on a lease that is gone is refused, too
        "submit-without-intent",
        "scheduling.submit:_open_job",
        ((", intent.stands, intent.is_unused", ""), ("        intent.using(),\n", "")),
    ),
    Mutant(
        "submits-of-one-key-make-two-jobs",
        "scheduling.submit:_open_job",
        (("    compares.append(Version(keys.idempotency(head.idempotency), exists=False))\n", "    pass\n"),),
    ),
    Mutant(
        "upload-without-intent",
        "scheduling.uploads:store_file",
        (("                intent.cover(name)\n", ""),),
    ),
    Mutant(
        "used-again-without-a-word",
        "scheduling.uploads:store_file",
        (("Put(look.key, value)", "*([Put(look.key, value)] if is_uploaded else [])"),),
    ),
    Mutant(
        "names-are-used-again",
        "scheduling.uploads:store_file",
        (('f"{name}/{intent.nonce}"', 'f"{name}/0"'),),
    ),
    _without("gc-works-beside-an-emptied-coordinator", "scheduling.gc:_used", "cluster.run_there([])"),
    Mutant("gc-ignores-intents", "scheduling.gc:_without_intent", (("if not intended.count:", "if True:"),)),
    Mutant("gc-lets-go-blindly", "scheduling.gc:_let_go", (("Revision(holder.key, holder.revision)", ""),)),
    Mutant(
        "gc-looks-at-jobs-first",
        "scheduling.gc:_unused",
        (
            ("    free = dict(", "    used = _used(cluster, with_inputs=False)\n    free = dict("),
            ("    used = _used(cluster, with_inputs=any(name.startswith(COPIES) for name in free))", "    pass"),
        ),
    ),
    Mutant(
        "lost-claim-is-kept",
        "scheduling.scan:Scan._kind",
        (('return "" if record.nonce in self._active else ABANDONED', 'return ""'),),
    ),
    Mutant(
        "nobody-folds-for-others",
        "scheduling.scan:Scan.open_tasks",
        (("fold(self._cluster, at, chunk)", "pass"),),
    ),
    Mutant(
        "nobody-closes-for-others", "scheduling.lookout:Lookout._scan_stage", (("close(self._cluster, at)", "pass"),)
    ),
    Mutant("nobody-tries-again", "scheduling.scan:Scan._kind", (("return DUE", 'return ""'),)),
    Mutant(
        "nobody-takes-over",
        "scheduling.scan:Scan._kind",
        (('return ABANDONED if is_over else ""', 'return ""'),),
    ),
    Mutant(
        "heartbeat-outlives-worker",
        "scheduling.membership:Membership.leave",
        (("    self._stopped.set()\n", ""), ("    self._thread.join()\n", "")),
    ),
    Mutant(
        "worker-runs-what-it-cannot",
        "worker.worker:Worker._can_run",
        (("if matches(head.requires, self._offers):", "if True:"),),
    ),
    Mutant(
        "reducers-read-what-they-find",
        "worker.jobs:Jobs.finished_maps",
        (("    stage, _ =", READS_WHAT_IT_FINDS),),
    ),
)
BY_NAME = {mutant.name: mutant for mutant in MUTANTS}
