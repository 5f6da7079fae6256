"""Whole jobs: the results equal an independent count, whatever the splits, partitions and workers."""

import ast
import bz2
import gzip
import random
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from gomr.client import Client
from gomr.errors import UsageError
from gomr.inputs import Inputs
from gomr.job.outputs import parse_text
from gomr.scheduling import keys
from tests.conftest import EXAMPLES, JOBS, RunJob, result_of

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

INTERPRETER_BYTES = 24 * 2**20  # what a task takes that does nothing
WORDCOUNT = EXAMPLES / "wordcount.py"


def counted(*contents: bytes) -> dict[str, int]:
    """Count words independently: lines end at newlines alone, words are what str.split says."""
    words: Counter[str] = Counter()
    for content in contents:
        for line in content.split(b"\n"):
            words.update(line.decode("utf-8", "surrogateescape").split())
    return dict(words)


def counts_of(result: bytes) -> dict[str, int]:
    pairs = [parse_text(line) for line in result.split(b"\n") if line]
    found = {key: int(value) for key, value in pairs}
    assert len(found) == len(pairs), "a key stands twice in the result"
    return found


def awkward_text(size: int) -> bytes:
    chosen = random.Random(7)
    pieces = [b"word", b"caf\xc3\xa9", b"\xff\xfe", b"\x85", b"\f", b"\r\n", b"\n", b" ", b"\t", b"a\\b", b"\xc2\xa0"]
    return b"".join(chosen.choice(pieces) + b" " * chosen.randrange(2) for _ in range(size))


@pytest.mark.parametrize("partitions", [1, 3, 16])
def test_word_counts_equal_an_independent_count(
    run_job: RunJob, client: Client, tmp_path: Path, partitions: int
) -> None:
    text = awkward_text(20_000)
    (tmp_path / "in.txt").write_bytes(text)
    status, job = run_job(WORDCOUNT, [tmp_path / "in.txt"], partitions=partitions, split_bytes=9_000)
    assert status.state == "done"
    assert status.stages[0].tasks > 5
    assert status.stages[1].tasks == partitions
    result = result_of(client, job)
    assert counts_of(result) == counted(text)


def test_keys_are_sorted_within_each_part(run_job: RunJob, client: Client, tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_bytes(awkward_text(3_000))
    _, job = run_job(WORDCOUNT, [tmp_path / "in.txt"], partitions=1)
    found = list(counts_of(result_of(client, job)))
    assert found == sorted(found)


def test_compressed_inputs_folders_and_wildcards(run_job: RunJob, client: Client, tmp_path: Path) -> None:
    folder = tmp_path / "inputs"
    (folder / "deep" / "er").mkdir(parents=True)
    texts = [f"file {number} says hello {number}\n".encode() * 50 for number in range(6)]
    (folder / "a.gz").write_bytes(gzip.compress(texts[0]) + gzip.compress(texts[1]))
    (folder / "b.bz2").write_bytes(bz2.compress(texts[2]))
    (folder / "deep" / "c.zst").write_bytes(zstd.compress(texts[3]))
    (folder / "deep" / "er" / "d.txt").write_bytes(texts[4])
    (folder / "deep" / ".hidden").write_bytes(texts[5])
    (folder / "empty").write_bytes(b"")
    _, job = run_job(WORDCOUNT, [folder], split_bytes=100)
    assert counts_of(result_of(client, job)) == counted(*texts[:5])
    _, job = run_job(WORDCOUNT, [folder / "**" / "*.txt", folder / "deep" / "er"])
    assert counts_of(result_of(client, job)) == counted(texts[4])


def test_wildcards_work_in_urls_too(client: Client, tmp_path: Path) -> None:
    for name in ("a/x.txt", "a/b/y.txt", "a/b/z.csv"):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    finder = Inputs(client.plugins.open_storage, client.cluster.storage)
    root = f"file://{tmp_path}/in"

    def found(pattern: str) -> list[str]:
        return [item.url.removeprefix(root) for item in finder.find([f"{root}/{pattern}"])]

    assert found("**/*.txt") == ["/a/b/y.txt", "/a/x.txt"]
    assert found("a/*.txt") == ["/a/x.txt"]
    assert found("a") == ["/a/b/y.txt", "/a/b/z.csv", "/a/x.txt"]
    with pytest.raises(UsageError, match="no such input"):
        found("*.md")


def test_an_input_with_a_password_in_its_url_is_refused_and_not_shown(client: Client) -> None:
    finder = Inputs(client.plugins.open_storage, client.cluster.storage)
    with pytest.raises(UsageError, match="no user and no password") as refused:
        finder.find(["s3://user:secret@bucket/words.txt"])
    assert "secret" not in str(refused.value)


def test_many_small_files_are_few_tasks(run_job: RunJob, client: Client, tmp_path: Path) -> None:
    for number in range(300):
        (tmp_path / f"{number}.txt").write_text(f"w{number} all")  # no newline at the end
    status, job = run_job(WORDCOUNT, [tmp_path / "*.txt"])
    assert status.stages[0].tasks == 1
    assert counts_of(result_of(client, job))["all"] == 300


def test_a_map_only_job(run_job: RunJob, client: Client, tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("b\na\tx\nb\n")
    status, job = run_job(JOBS / "echo_lines.py", [tmp_path / "in.txt"], split_bytes=2)
    assert [stage.stage for stage in status.stages] == ["1-map"]
    assert result_of(client, job) == b"b\t1\na\\tx\t1\nb\t1\n"


def test_a_job_over_empty_inputs_is_done_and_empty(run_job: RunJob, client: Client, tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_bytes(b"")
    for job_file in (JOBS / "echo_lines.py", WORDCOUNT):
        status, job = run_job(job_file, [tmp_path / "in.txt"], partitions=2)
        assert status.state == "done"
        assert result_of(client, job) == b""


def test_keys_of_all_types_meet_and_are_sorted(run_job: RunJob, client: Client, tmp_path: Path) -> None:
    literals = ["1", "1.0", "True", "'1'", "b'1'", "None", "(1, 'a')", "(1.0, 'a')", "-3", "2.5", "'é'", "(None,)"]
    (tmp_path / "in.txt").write_text("\n".join(literals * 3))
    status, job = run_job(JOBS / "keys_of_all_types.py", [tmp_path / "in.txt"], split_bytes=30, partitions=1)
    assert status.state == "done"
    wanted: Counter[Any] = Counter()
    for literal in literals * 3:
        wanted[ast.literal_eval(literal)] += 1
    lines = [parse_text(line) for line in result_of(client, job).splitlines()]
    assert {ast.literal_eval(key): int(value) for key, value in lines} == dict(wanted)
    types = [type(ast.literal_eval(key)).__name__ for key, _ in lines]
    ranks = {"NoneType": 0, "int": 1, "float": 1, "bool": 1, "str": 2, "bytes": 3, "tuple": 4}
    assert [ranks[kind] for kind in types] == sorted(ranks[kind] for kind in types)


def test_a_well_known_reducer_loses_no_key_of_any_type(run_job: RunJob, client: Client, tmp_path: Path) -> None:
    literals = ["None", "1", "2.5", "'a'", "'b'"]  # the last ones in order are plain texts
    (tmp_path / "in.txt").write_text("\n".join(literals * 3))
    _, job = run_job(JOBS / "totals_of_all_types.py", [tmp_path / "in.txt"], split_bytes=30, partitions=1)
    assert counts_of(result_of(client, job)) == dict.fromkeys(["None", "1", "2.5", "a", "b"], 3)


def test_a_well_known_reducer_over_chunks(run_job: RunJob, client: Client, tmp_path: Path) -> None:
    text = awkward_text(20_000)
    (tmp_path / "in.txt").write_bytes(text)
    _, job = run_job(JOBS / "counts_total.py", [tmp_path / "in.txt"], split_bytes=9_000, partitions=40)
    wanted = Counter(word.decode("utf-8", "surrogateescape") for word in text.split())
    assert counts_of(result_of(client, job)) == dict(wanted)


def test_params_counters_and_json_lines(run_job: RunJob, client: Client, tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("a b\nb\n")
    params = {"folder": str(tmp_path), "seconds": "0"}
    status, job = run_job(JOBS / "sleeps.py", [tmp_path / "in.txt"], params=params, output_format="json")
    assert result_of(client, job) == b'{"key": "a", "value": 1}\n{"key": "b", "value": 2}\n'
    assert status.counters["lines"] == 2
    with pytest.raises(UsageError, match="did you mean 'seconds'"):
        client.submit(JOBS / "sleeps.py", [str(tmp_path / "in.txt")], options_with(params={"second": "1"}))
    with pytest.raises(UsageError, match="it is a float"):
        client.submit(JOBS / "sleeps.py", [str(tmp_path / "in.txt")], options_with(params={"seconds": "soon"}))


def options_with(**given: Any) -> Any:
    from gomr.options import JobOptions

    return JobOptions(**given)


def test_siblings_and_dependencies_are_there_in_the_task(run_job: RunJob, client: Client, tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("a\nA\n")
    _, job = run_job(JOBS / "uses_sibling.py", [tmp_path / "in.txt"])
    assert result_of(client, job) == b"A\t4\n"
    copy = tmp_path / "with_dependency.py"
    copy.write_text((JOBS / "with_dependency.py").read_text())
    _, job = run_job(copy, [tmp_path / "in.txt"])
    assert result_of(client, job) == b"A\t1\na\t1\n"


@pytest.mark.parametrize("exec_per_task", [False, True])
def test_a_job_that_prints_much_works_and_the_text_is_in_its_log(
    run_job: RunJob, client: Client, tmp_path: Path, exec_per_task: bool
) -> None:
    (tmp_path / "in.txt").write_text("one\n")
    status, job = run_job(JOBS / "prints.py", [tmp_path / "in.txt"], {"exec_per_task": exec_per_task})
    assert status.state == "done"
    text = b"".join(log.data for log in client.logs(job, "1-map/0"))
    assert len(text) > 2**20
    assert text.endswith(b"%063d\n" % 16383 + b"the end\n") or b"the end\n" in text


def test_a_log_beyond_its_limit_is_cut_and_says_so(run_job: RunJob, client: Client, tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("one\n")
    _, job = run_job(JOBS / "prints.py", [tmp_path / "in.txt"], {"log_bytes": 10_000})
    (log,) = client.logs(job)
    assert len(log.data) < 10_200
    assert b"bytes of log left out (--log-limit of the worker)" in log.data


def test_a_job_in_another_language(run_job: RunJob, client: Client, tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("a\nb\nc\nd\n")
    status, job = run_job(JOBS / "job.sh", [tmp_path / "in.txt"], split_bytes=4)
    assert status.state == "done"
    assert result_of(client, job) == b"lines\t2\nlines\t2\n"
    assert [log.data for log in client.logs(job)] == [b"counted 2 lines\n"] * 2


def test_a_job_that_starts_threads_at_import_is_executed_for_each_task(
    run_job: RunJob, client: Client, tmp_path: Path
) -> None:
    (tmp_path / "in.txt").write_text("a\nb\n")
    status, job = run_job(JOBS / "starts_thread.py", [tmp_path / "in.txt"], split_bytes=2)
    assert status.state == "done"
    assert result_of(client, job) == b"a\t1\nb\t1\n"


@pytest.mark.parametrize("pure", [False, True], ids=["native", "pure"])
@pytest.mark.parametrize("combine", [False, True])
def test_a_job_twenty_times_larger_than_its_memory_gives_the_same(
    run_job: RunJob, client: Client, tmp_path: Path, combine: bool, pure: bool
) -> None:
    """8 MB of memory, some 170 MB of pairs: spills in map, merges in several passes in reduce."""
    client.build(JOBS / "bulk.py", tmp_path / "bulk.pex", pure=pure)
    lines = range(3_000)
    (tmp_path / "in.txt").write_text("\n".join(map(str, lines)))
    params = {"pairs": 400, "bytes": 140}
    _, job = run_job(
        tmp_path / "bulk.pex",
        [tmp_path / "in.txt"],
        params=params,
        memory_bytes=8 * 2**20,
        partitions=1 if combine else 2,
        split_bytes=2_000 if combine else 2**20,
    )
    wanted: Counter[str] = Counter()
    for number in lines:
        wanted.update(f"key-{(number * 7919 + index * 104729) % 100003:06d}" for index in range(400))
    found = dict(parse_text(line) for line in result_of(client, job).splitlines())
    assert found == {key: f"{count} {count * 140}" for key, count in wanted.items()}
    done = client.status(job).counters
    assert done["map.bytes_out"] > 20 * 8 * 2**20
    assert (done["reduce.spills"] > 0) == pure  # the core holds a frame of each block
    peak = max(task.peak_memory_bytes for task in client.tasks(job))
    assert peak < INTERPRETER_BYTES + 4 * 8 * 2**20  # the estimate is rough, and 8 MB is little; it does not grow


def test_the_executable_is_not_stored_twice(client: Client, tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("a\n")
    first = client.submit_in_full(WORDCOUNT, [str(tmp_path / "in.txt")])
    puts = client.cluster.storage.requests.counts()["put"]
    second = client.submit_in_full(WORDCOUNT, [str(tmp_path / "in.txt")])
    assert first.executable_uploaded
    assert not second.executable_uploaded
    assert client.cluster.storage.requests.counts()["put"] == puts + 1  # the job's record, and no executable
    assert len(list(client.cluster.storage.list(keys.executable("")))) == 1


def test_an_idempotency_key_finds_the_first_job(client: Client, tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("a\n")
    options = options_with(idempotency_key="today")
    first = client.submit_in_full(WORDCOUNT, [str(tmp_path / "in.txt")], options)
    second = client.submit_in_full(WORDCOUNT, [str(tmp_path / "in.txt")], options)
    assert (first.job, first.attached) == (second.job, False)
    assert second.attached
    assert len(client.jobs()) == 1
