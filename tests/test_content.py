"""Inputs are read as what their bytes say they are, or refused."""

import bz2
import gzip
import lzma
import os
import sys
from collections.abc import Callable
from pathlib import Path

import lz4.frame
import pytest
import snappy

from gomr import urls
from gomr.client import Client
from gomr.content import compression_of
from gomr.errors import UsageError
from gomr.inputs import Inputs
from gomr.model import Input
from gomr.options import JobOptions
from gomr.plugins import Plugins
from gomr.worker import fetch
from tests.conftest import EXAMPLES, Gomr, RunJob, result_of

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

WORDS = EXAMPLES / "wordcount.py"
TEXT = b"one two\ntwo\n" * 20
COUNTS = b"one\t20\ntwo\t40\n"
BOM = b"\xef\xbb\xbf"
SKIPPED = b"\x51\x2a\x4d\x18\x03\x00\x00\x00abc"


def framed(data: bytes) -> bytes:
    return bytes(snappy.StreamCompressor().add_chunk(data))


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "zst": zstd.compress,
    "xz": lzma.compress,
    "lz4": lz4.frame.compress,
    "snappy": framed,
}


@pytest.mark.parametrize("kind", PACKERS)
def test_compression_is_known_by_the_first_bytes(kind: str) -> None:
    assert compression_of(PACKERS[kind](TEXT)) == kind
    assert compression_of(PACKERS[kind](b"")) == ("" if kind == "snappy" else kind), "python-snappy makes nothing of it"
    assert compression_of(TEXT) == compression_of(b"") == ""


def test_frames_of_notes_before_a_compressed_file_are_passed_over() -> None:
    assert compression_of(SKIPPED + zstd.compress(TEXT)) == "zst"
    assert compression_of(SKIPPED * 3 + lz4.frame.compress(TEXT)) == "lz4"
    assert compression_of(SKIPPED[:6]) == ""


@pytest.mark.parametrize("split_bytes", [50, 10**6])
@pytest.mark.parametrize("kind", PACKERS)
def test_a_compressed_input_is_read_whatever_its_name(
    run_job: RunJob, client: Client, tmp_path: Path, kind: str, split_bytes: int
) -> None:
    """Also one that would be cut if it were plain."""
    text = TEXT + os.urandom(3000).hex().encode() + b"\n"
    (tmp_path / "input").write_bytes(PACKERS[kind](text))
    status, job = run_job(WORDS, [tmp_path / "input"], split_bytes=split_bytes)
    assert status.state == "done", status.error
    assert COUNTS in result_of(client, job)


@pytest.mark.parametrize("name", ["in.GZ", "in.gzip", "in.Gz", "in.txt", "in.bz2", "in.xz"])
def test_the_bytes_win_over_the_name(run_job: RunJob, client: Client, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(gzip.compress(TEXT))
    _, job = run_job(WORDS, [tmp_path / name])
    assert result_of(client, job) == COUNTS


@pytest.mark.parametrize("split_bytes", [50, 10**6])
def test_text_named_gz_is_read_as_text(run_job: RunJob, client: Client, tmp_path: Path, split_bytes: int) -> None:
    """A browser or a server has unpacked it already. It is cut like other text."""
    (tmp_path / "in.gz").write_bytes(TEXT)
    _, job = run_job(WORDS, [tmp_path / "in.gz"], split_bytes=split_bytes)
    assert result_of(client, job) == COUNTS


@pytest.mark.parametrize("kind", PACKERS)
def test_a_truncated_compressed_input_fails_the_job_at_once(run_job: RunJob, tmp_path: Path, kind: str) -> None:
    (tmp_path / "in").write_bytes(PACKERS[kind](os.urandom(200_000))[:-5000])
    status, _ = run_job(WORDS, [tmp_path / "in"])
    assert status.state == "failed"
    assert status.error["attempt"] == 1
    assert f"not a whole .{kind} file" in status.error["message"]


def test_a_worker_without_the_library_refuses_by_name(
    run_job: RunJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "lz4", None)
    (tmp_path / "in").write_bytes(lz4.frame.compress(TEXT))
    status, _ = run_job(WORDS, [tmp_path / "in"], attempts_max=1)
    assert "compressed with lz4, and this machine has no library for it; pip install lz4" in status.error["message"]


def job_file(folder: Path, text: str) -> Path:
    path = folder / "job.py"
    path.write_text(text)
    return path


FORMATS = {
    "lines": ("line.encode()", [b"one", b"two", b"three"]),
    "lines-bytes": ("line", [BOM + b"one", b"two", b"three"]),
    "chunks": ("line.encode()", [b"one\ntwo\n", b"three"]),
    "chunks-bytes": ("line", [BOM + b"one\ntwo\n", b"three"]),
    "objects": ("line", [BOM + b"one\ntwo\nthree"]),
}


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("packed", [False, True])
def test_a_byte_order_mark_is_taken_off_text_and_left_in_bytes(
    run_job: RunJob, client: Client, tmp_path: Path, form: str, packed: bool
) -> None:
    data = BOM + b"one\ntwo\nthree"
    (tmp_path / "in.gz").write_bytes(gzip.compress(data) if packed else data)
    seen, expected = FORMATS[form]
    job = job_file(tmp_path, f"input_format = {form!r}\ndef mapper(line):\n    yield {seen}.hex(), 1\n")
    status, job_id = run_job(job, [tmp_path / "in.gz"])
    assert status.state == "done", status.error
    assert sorted(result_of(client, job_id).split()[::2]) == sorted(line.hex().encode() for line in expected)


@pytest.mark.parametrize("split_bytes", [4, 10, 10**6])
def test_only_the_mark_at_the_beginning_of_an_input_goes(
    run_job: RunJob, client: Client, tmp_path: Path, split_bytes: int
) -> None:
    """A second one, and one at the beginning of a later split, is data; each input has a beginning of its own."""
    for number in (1, 2):
        (tmp_path / f"{number}.txt").write_bytes(BOM + b"one\n" + BOM + b"one\n" * 3)
    _, job = run_job(WORDS, [tmp_path / "1.txt", tmp_path / "2.txt"], split_bytes=split_bytes)
    assert result_of(client, job) == b"one\t6\n" + BOM + b"one\t2\n"


def test_a_sort_of_lines_takes_the_mark_off_and_a_sort_of_records_does_not(
    run_job: RunJob, client: Client, tmp_path: Path
) -> None:
    (tmp_path / "in.txt").write_bytes(BOM + b"b\n\xf0\na\n")
    lines = job_file(tmp_path, "from gomr import Sort\nsort = Sort()\n")
    _, job = run_job(lines, [tmp_path / "in.txt"], partitions=2)
    assert result_of(client, job) == b"a\nb\n\xf0\n"
    (tmp_path / "in.dat").write_bytes(BOM + b"\0\x1f\x8b\x08")
    records = job_file(tmp_path, "from gomr import Sort\nsort = Sort(record_bytes=1)\n")
    _, job = run_job(records, [tmp_path / "in.dat"])
    assert result_of(client, job) == bytes(sorted(BOM + b"\0\x1f\x8b\x08"))


NO_TEXT = {
    "UTF-16 text": "one two".encode("utf-16"),
    "UTF-16 text; big": b"\xfe\xff" + "one two".encode("utf-16-be"),
    "UTF-32 text": "one two".encode("utf-32"),
    "NUL bytes": "one two".encode("utf-16-le"),
    "a ZIP archive": b"PK\x03\x04" + b"x" * 100,
    "a Parquet file": b"PAR1" + b"x" * 100,
}


@pytest.mark.parametrize("what", NO_TEXT)
def test_what_is_plainly_no_text_is_refused_at_submit(client: Client, tmp_path: Path, what: str) -> None:
    (tmp_path / "in.txt").write_bytes(NO_TEXT[what])
    with pytest.raises(UsageError, match=f"in.txt: .*{what.partition(';')[0]}.*lines-bytes"):
        client.submit(WORDS, [str(tmp_path / "in.txt")])
    assert client.jobs() == []


def test_what_is_no_text_within_a_compressed_file_fails_its_task_at_once(run_job: RunJob, tmp_path: Path) -> None:
    (tmp_path / "in.gz").write_bytes(gzip.compress("one".encode("utf-16")))
    status, _ = run_job(WORDS, [tmp_path / "in.gz"])
    assert (status.state, status.error["kind"], status.error["attempt"]) == ("failed", "input", 1)
    assert "it is UTF-16 text" in status.error["message"]


def test_a_later_nul_is_data(run_job: RunJob, client: Client, tmp_path: Path) -> None:
    (tmp_path / "in.log").write_bytes(b"one\n" * 1024 + b"\0two\n")
    _, job = run_job(WORDS, [tmp_path / "in.log"])
    assert result_of(client, job) == b"\0two\t1\none\t1024\n"


@pytest.mark.parametrize("form", ["lines-bytes", "chunks-bytes", "objects"])
def test_a_job_that_asks_for_bytes_gets_them(run_job: RunJob, client: Client, tmp_path: Path, form: str) -> None:
    data = "one".encode("utf-16")
    (tmp_path / "in").write_bytes(data)
    job = job_file(tmp_path, f"input_format = {form!r}\ndef mapper(data):\n    yield data.hex(), 1\n")
    _, job_id = run_job(job, [tmp_path / "in"])
    assert result_of(client, job_id) == data.hex().encode() + b"\t1\n"


def test_an_object_is_unpacked_only_where_its_name_says_so(run_job: RunJob, client: Client, tmp_path: Path) -> None:
    """A job that reads archives itself gets them as they are."""
    packed = gzip.compress(b"x")
    (tmp_path / "a.tgz").write_bytes(packed)
    (tmp_path / "b.GZ").write_bytes(packed)
    job = job_file(tmp_path, 'input_format = "objects"\ndef mapper(data):\n    yield data.hex(), 1\n')
    _, job_id = run_job(job, [tmp_path / "a.tgz", tmp_path / "b.GZ"])
    assert sorted(result_of(client, job_id).split()[::2]) == sorted([packed.hex().encode(), b"78"])


def test_the_record_says_how_each_input_is_compressed(client: Client, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(gzip.compress(TEXT))
    (tmp_path / "b.gz").write_bytes(TEXT)
    record = client.plan(WORDS, [str(tmp_path / "a"), str(tmp_path / "b.gz")]).record
    assert [item["compression"] for item in record.inputs] == ["gz", ""]


def test_inputs_of_older_records_are_looked_at_by_the_worker(client: Client, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(gzip.compress(TEXT))
    record = client.plan(WORDS, [str(tmp_path / "a")]).record
    for item in record.inputs:
        del item["compression"]
    assert record.input(0) == Input(record.inputs[0]["url"], record.inputs[0]["size"], record.inputs[0]["version"])
    finder = Inputs(client.plugins.open_storage, client.cluster.storage)
    (piece,) = fetch.map_pieces(finder, record, 0, tmp_path, 10**6)
    assert Path(piece.path).read_bytes() == TEXT
    finder.close()


def test_small_objects_of_a_bucket_are_looked_at_by_their_tasks_and_large_ones_at_submit(
    environment: dict[str, str], tmp_path: Path, s3_url: str
) -> None:
    """The submit makes no request for each small one."""
    from gomr.config import Config

    url = urls.parse(s3_url)
    storage = Plugins().open_storage(url)
    for number in range(20):
        storage.put(f"in/{number:02d}", gzip.compress(TEXT) if number % 2 else BOM + TEXT)
    storage.put("in/large", gzip.compress(os.urandom(3000).hex().encode()))
    storage.put("utf16/in.txt", "one two".encode("utf-16"))
    storage.close()
    root = f"s3://{url.host}{url.path}"
    environment |= {"GOMR_STORAGE": s3_url}
    with Client(config=Config({}, environment, tmp_path)) as client:
        before = client.cluster.storage.requests.counts().get("get", 0)
        job = client.submit(WORDS, [f"{root}/in/"], JobOptions(split_bytes=2000))
        assert client.cluster.storage.requests.counts().get("get", 0) - before <= 1
        client.worker(client.worker_settings(once=True, slots=2)).run()
        assert COUNTS.replace(b"20", b"400").replace(b"40\n", b"800\n") in result_of(client, job)
        job = client.submit(WORDS, [f"{root}/utf16/"])
        client.worker(client.worker_settings(once=True, slots=1)).run()
        status = client.status(job)
        assert (status.error["kind"], status.error["attempt"]) == ("input", 1)
        assert "it is UTF-16 text" in status.error["message"]
        with pytest.raises(UsageError, match="it is UTF-16 text"):
            client.submit(WORDS, [f"{root}/utf16/"], JobOptions(split_bytes=4))


@pytest.mark.parametrize("name", ["-", "/dev/stdin", "/proc/self/fd/0"])
def test_standard_input_is_read(gomr: Gomr, name: str) -> None:
    done = gomr("run", WORDS, name, stdin=TEXT.decode())
    assert done.stdout.encode() == COUNTS


def test_a_process_substitution_a_named_pipe_and_a_file_of_proc_are_read(gomr: Gomr) -> None:
    import subprocess

    (gomr.folder / "in.gz").write_bytes(gzip.compress(TEXT))
    os.mkfifo(gomr.folder / "pipe")
    script = f"""
        cat in.gz > pipe &
        '{sys.executable}' -m gomr.cli run '{WORDS}' pipe <(zcat in.gz) /proc/self/status -o out.tsv
    """
    subprocess.run(["bash", "-c", script], env=gomr.environment, cwd=gomr.folder, check=True, timeout=240)
    counts = dict(line.split(b"\t") for line in (gomr.folder / "out.tsv").read_bytes().splitlines())
    assert (counts[b"one"], counts[b"two"], counts[b"Name:"]) == (b"40", b"80", b"1")


def test_what_was_read_from_a_pipe_outlives_the_submit(gomr: Gomr, client: Client) -> None:
    """Workers of other processes read it from the storage, also where that is a folder; gc takes it after the job."""
    job = gomr("submit", WORDS, "-", stdin=TEXT.decode()).stdout.strip()
    assert len(list(client.cluster.storage.list("inputs/"))) == 1
    gomr("worker", "--once", "--slots", 1)
    gomr("gc", "--grace-hours", 0)
    assert result_of(client, job) == COUNTS
    assert len(list(client.cluster.storage.list("inputs/"))) == 1
    gomr("rm", job)
    gomr("gc", "--grace-hours", 0)
    assert not list(client.cluster.storage.list("inputs/"))


def test_a_pipe_on_a_real_cluster_is_uploaded(gomr: Gomr, s3_url: str) -> None:
    gomr.environment["GOMR_STORAGE"] = s3_url
    assert gomr("run", WORDS, "-", stdin=TEXT.decode()).stdout.encode() == COUNTS
    storage = Plugins().open_storage(s3_url)
    assert len(list(storage.list("inputs/"))) == 1
    storage.close()


def test_a_pipe_that_never_ends_is_refused_at_its_limit(gomr: Gomr) -> None:
    import subprocess

    command = [sys.executable, "-m", "gomr.cli", "submit", str(WORDS), "-", "--spool-limit", "1MB"]
    with subprocess.Popen(["yes"], stdout=subprocess.PIPE) as yes:
        done = subprocess.run(
            command, stdin=yes.stdout, env=gomr.environment, capture_output=True, text=True, timeout=240, check=False
        )
        yes.kill()
    assert done.returncode == 2
    assert "-: more than 1000000 bytes came (--spool-limit)" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_file_as_standard_input_is_copied_too(gomr: Gomr) -> None:
    """A worker that opened /dev/stdin would read its own."""
    import subprocess

    (gomr.folder / "in.txt").write_bytes(TEXT)
    command = [sys.executable, "-m", "gomr.cli", "submit", str(WORDS), "/dev/stdin"]
    with (gomr.folder / "in.txt").open("rb") as file:
        subprocess.run(command, stdin=file, env=gomr.environment, cwd=gomr.folder, check=True, timeout=240)
    (gomr.folder / "in.txt").unlink()
    gomr("worker", "--once", "--slots", 1)
    assert '"done"' in gomr("jobs", "--json").stdout
