"""Inputs are found by one rule: the same for a path, a file:// URL and a bucket."""

import json
import os
import secrets
import socket
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from gomr import urls
from gomr.backends import Storage
from gomr.builtin.file import FileStorage
from gomr.errors import UnavailableError, UsageError
from gomr.inputs import Inputs
from gomr.localfiles import Spool
from gomr.plugins import Plugins
from tests.conftest import EXAMPLES, Gomr

WORDS = EXAMPLES / "wordcount.py"
Find = Callable[..., list[str]]


@pytest.fixture
def finder(tmp_path: Path) -> Iterator[Inputs]:
    (tmp_path / "spool").mkdir()
    finder = Inputs(Plugins().open_storage, FileStorage(tmp_path / "own"), spool=Spool(tmp_path / "spool", 1000))
    yield finder
    finder.close()


class Place:
    """A folder of inputs, and how its files are named: by path, by file:// URL, or by the URL of a bucket."""

    def __init__(self, kind: str, root: str, finder: Inputs, folder: Path, storage: Storage | None) -> None:
        self.kind, self.root, self._finder, self._folder, self._storage = kind, root, finder, folder, storage

    def put(self, files: Mapping[str, str]) -> None:
        for name, text in files.items():
            if self._storage is not None:
                self._storage.put(name, text.encode())
                continue
            path = self._folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    def found(self, pattern: str = "") -> list[str]:
        shown = self.root if self.kind != "path" else f"file://{self.root}"
        return [item.url.removeprefix(shown) for item in self._finder.find([f"{self.root}{pattern}"])]


@pytest.fixture(params=["path", "file", "s3"])
def place(request: pytest.FixtureRequest, finder: Inputs, tmp_path: Path) -> Iterator[Place]:
    kind, folder = request.param, tmp_path / "in"
    folder.mkdir()
    if kind != "s3":
        yield Place(kind, f"{'file://' if kind == 'file' else ''}{folder}/", finder, folder, None)
        return
    url = urls.parse(request.getfixturevalue("s3_url"))
    storage = Plugins().open_storage(url)
    on_server = Inputs(Plugins().open_storage, storage, url)
    yield Place(kind, f"s3://{url.host}{url.path}/", on_server, folder, storage)
    on_server.close()
    storage.close()


TREE = {
    "a.txt": "a",
    "b/c.txt": "c",
    "b/d/e.csv": "e",
    "_SUCCESS": "",
    "_temporary/0/part": "x",
    "b/_metadata": "x",
    "_date=2026-11-28/f.txt": "f",
    ".hidden": "x",
    ".git/config": "x",
    "b/.crc": "x",
}


def test_a_folder_is_all_its_files_but_hidden_ones_and_markers(place: Place) -> None:
    """`_date=...` is the folder of a partition, which Spark reads, too."""
    place.put(TREE)
    everything = ["_date=2026-11-28/f.txt", "a.txt", "b/c.txt", "b/d/e.csv"]
    assert place.found() == everything
    assert place.found("b") == ["b/c.txt", "b/d/e.csv"]
    assert place.found("b/") == ["b/c.txt", "b/d/e.csv"]


def test_a_wildcard_leaves_out_the_same_names(place: Place) -> None:
    place.put(TREE)
    assert place.found("*") == ["a.txt"]
    assert place.found("**") == place.found()
    assert place.found("**/*.txt") == ["_date=2026-11-28/f.txt", "a.txt", "b/c.txt"]
    assert place.found("*/*") == ["_date=2026-11-28/f.txt", "b/c.txt"]
    assert place.found("b/**/e.*") == ["b/d/e.csv"]
    assert place.found("b/?.txt") == ["b/c.txt"]
    assert place.found("[!b-z].txt") == ["a.txt"]
    assert place.found("b/[c-d].txt") == ["b/c.txt"]


@pytest.mark.parametrize("pattern", ["_SUCCESS", ".hidden", "b/_metadata", "_temporary/0/part"])
def test_what_is_named_is_read_whatever_its_name(place: Place, pattern: str) -> None:
    place.put(TREE)
    assert place.found(pattern) == [pattern]


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("_*", ["_SUCCESS"]),
        (".h*", [".hidden"]),
        ("_temporary/**", ["_temporary/0/part"]),
        ("_temporary", ["_temporary/0/part"]),
        (".git/*", [".git/config"]),
        ("b/.*", ["b/.crc"]),
    ],
)
def test_a_wildcard_that_names_the_first_letter_takes_hidden_names(
    place: Place, pattern: str, names: list[str]
) -> None:
    place.put(TREE)
    assert place.found(pattern) == names


ODD_NAMES = [
    "part[1].txt",
    "what?.txt",
    "all*.txt",
    "a b.txt",
    "50%.txt",
    "a%20b.txt",
    "a#b.txt",
    "ü.txt",
    "~x",
    "a[b",
]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_the_file_of_exactly_that_name_comes_before_a_wildcard(place: Place, name: str) -> None:
    place.put({name: "x", "part1.txt": "1", "whatx.txt": "2", "all1.txt": "3"})
    assert place.found(name) == [name]


def test_a_folder_of_exactly_that_name_comes_before_a_wildcard(place: Place) -> None:
    place.put({"part[1]/x.txt": "x", "part1": "1"})
    assert place.found("part[1]") == ["part[1]/x.txt"]
    assert place.found("part[12]") == ["part1"]


def test_what_matches_nothing_is_refused(place: Place) -> None:
    place.put({"_SUCCESS": "", "b/.crc": "x"})
    for pattern in ("", "none", "none/", "*.txt", "b", "none/*"):
        with pytest.raises(UsageError, match="no such input"):
            place.found(pattern)


def test_a_bucket_and_its_folders_are_inputs_and_folder_markers_are_none(s3_url: str) -> None:
    import boto3

    url = urls.parse(s3_url)
    bucket = f"inputs-{secrets.token_hex(4)}"
    client = boto3.client(
        "s3",
        endpoint_url=url.options["endpoint"],
        aws_access_key_id=url.username,
        aws_secret_access_key=url.password,
        region_name="us-east-1",
    )
    client.create_bucket(Bucket=bucket)
    own = Plugins().open_storage(url)
    finder = Inputs(Plugins().open_storage, own, url)
    try:
        for key in ("books/", "books/deep/", "books/1.txt", "books/deep/2.txt", "3.txt", "books-4.txt"):
            client.put_object(Bucket=bucket, Key=key, Body=b"" if key.endswith("/") else b"word")

        def found(pattern: str) -> list[str]:
            return [item.url.removeprefix(f"s3://{bucket}/") for item in finder.find([pattern])]

        books = ["books/1.txt", "books/deep/2.txt"]
        assert found(f"s3://{bucket}/books/") == books
        assert found(f"s3://{bucket}/books") == books
        assert found(f"s3://{bucket}/") == found(f"s3://{bucket}") == ["3.txt", "books-4.txt", *books]
        with pytest.raises((UsageError, UnavailableError), match="none"):
            found(f"s3://none-{bucket}/")
    finally:
        for item in client.list_objects_v2(Bucket=bucket).get("Contents", []):
            client.delete_object(Bucket=bucket, Key=item["Key"])
        client.close()
        finder.close()
        own.close()


@pytest.fixture(params=["path", "file"])
def local(request: pytest.FixtureRequest, finder: Inputs, tmp_path: Path) -> Place:
    """The same files by path and by file:// URL."""
    folder = tmp_path / "in"
    folder.mkdir()
    return Place(request.param, f"{'file://' if request.param == 'file' else ''}{folder}/", finder, folder, None)


@pytest.mark.parametrize("pattern", ["", "**", "**/*.txt"])
def test_a_loop_of_links_reads_each_file_once(local: Place, tmp_path: Path, pattern: str) -> None:
    local.put({"a.txt": "a", "b/c.txt": "c"})
    (tmp_path / "in" / "a-loop").symlink_to(".")
    (tmp_path / "in" / "b" / "up").symlink_to("..")
    assert local.found(pattern) == ["a.txt", "b/c.txt"]


def test_links_to_files_and_folders_are_followed(local: Place, tmp_path: Path) -> None:
    for name in ("x.txt", "sub/y.txt"):
        (tmp_path / "elsewhere" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "elsewhere" / name).write_text("x")
    (tmp_path / "in" / "file.txt").symlink_to(tmp_path / "elsewhere" / "x.txt")
    (tmp_path / "in" / "folder").symlink_to(tmp_path / "elsewhere" / "sub")
    assert local.found() == ["file.txt", "folder/y.txt"]
    assert local.found("folder") == ["folder/y.txt"]
    assert local.found("*/*.txt") == ["folder/y.txt"]
    assert local.found("file.txt") == ["file.txt"]


def test_two_links_to_a_file_of_the_folder_are_no_further_files(local: Place, tmp_path: Path) -> None:
    local.put({"z/real.txt": "x"})
    (tmp_path / "in" / "a").symlink_to("z")
    (tmp_path / "in" / "b.txt").symlink_to("z/real.txt")
    assert local.found() == ["z/real.txt"]


@pytest.mark.parametrize("target", ["gone.txt", "broken.txt"])
@pytest.mark.parametrize("pattern", ["broken.txt", "", "*"])
def test_a_broken_link_is_refused_by_name(local: Place, tmp_path: Path, pattern: str, target: str) -> None:
    local.put({"a.txt": "a"})
    (tmp_path / "in" / "broken.txt").symlink_to(target)
    with pytest.raises(UsageError, match=r"broken\.txt: a (broken link|link that leads to itself)"):
        local.found(pattern)


def test_a_hidden_broken_link_is_passed_over(local: Place, tmp_path: Path) -> None:
    """Emacs locks a file so."""
    local.put({"a.txt": "a"})
    (tmp_path / "in" / ".#a.txt").symlink_to("user@host.1")
    assert local.found() == ["a.txt"]


def test_names_that_are_not_utf8_are_refused_in_a_sentence(local: Place, tmp_path: Path) -> None:
    local.put({"a.txt": "a"})
    Path(os.fsdecode(os.fsencode(tmp_path / "in") + b"/caf\xe9.txt")).write_text("x")
    with pytest.raises(UsageError, match=r"caf\\udce9\.txt.*not UTF-8; rename it"):
        local.found()
    assert local.found("a*") == ["a.txt"]


@pytest.mark.parametrize("name", ["~$report.txt", "~nobody-of-this-name", "~"])
def test_a_tilde_is_a_letter_where_a_file_is_so_named(
    finder: Inputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_text("x")
    assert [item.url for item in finder.find([name])] == [f"file://{tmp_path}/{name}"]


def test_a_tilde_leads_home_and_else_to_nothing(
    finder: Inputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "a.txt").write_text("x")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(tmp_path)
    assert [item.url for item in finder.find(["~/a.txt"])] == [f"file://{home}/a.txt"]
    for name in ("~$report.txt", "~nobody-of-this-name/x"):
        with pytest.raises(UsageError, match="no such input"):
            finder.find([name])


def test_sockets_and_devices_are_refused_by_name(local: Place, tmp_path: Path, finder: Inputs) -> None:
    local.put({"a.txt": "a"})
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "in" / "s"))
        for pattern in ("s", "", "*"):
            with pytest.raises(UsageError, match="/in/s: a socket"):
                local.found(pattern)
    with pytest.raises(UsageError, match="/dev/zero: a device cannot be an input"):
        finder.find(["/dev/zero"])


def test_a_pipe_in_a_folder_is_refused_and_not_waited_for(local: Place, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "in" / "pipe")
    with pytest.raises(UsageError, match="/in/pipe: a pipe"):
        local.found()


def test_what_was_left_out_is_counted(local: Place, finder: Inputs) -> None:
    local.put(TREE)
    local.found()
    assert finder.left_out == 6


@pytest.mark.parametrize("command", ["run", "submit"])
def test_a_dry_run_lists_the_inputs_and_submits_nothing(gomr: Gomr, command: str) -> None:
    import gzip

    folder = gomr.folder / "in"
    folder.mkdir()
    (folder / "a.txt").write_text("a b\n" * 100)
    (folder / "packed").write_bytes(gzip.compress(b"c d\n"))
    (folder / "_SUCCESS").touch()
    done = gomr(command, WORDS, folder, "--dry-run")
    assert [line.split() for line in done.stdout.splitlines()] == [
        ["400", "B", "-", f"file://{folder}/a.txt"],
        ["24", "B", "gz", f"file://{folder}/packed"],
    ]
    assert (
        "inputs: 2, 424 B; splits: 1; partitions: 1; 1 left out, which begin with . or _; nothing was submitted"
        in done.stderr
    )
    found: dict[str, Any] = json.loads(gomr(command, WORDS, folder, "--dry-run", "--json", "--split-size", 100).stdout)
    assert (found["splits"], found["partitions"], found["bytes"]) == (5, 1, 424)
    assert [item["compression"] for item in found["inputs"]] == ["", "gz"]
    assert json.loads(gomr("jobs", "--json").stdout) == []
    assert "--json: it goes with --dry-run" in gomr(command, WORDS, folder, "--json", status=2).stderr
