"""The file storage keeps the contract of Storage."""

import threading
from pathlib import Path

import pytest

from gomr.builtin.file import FileStorage, open_file
from gomr.errors import ConfigurationError, Denied, NotFound, Unavailable
from gomr.urls import parse


@pytest.fixture
def storage(tmp_path: Path) -> FileStorage:
    return FileStorage(tmp_path / "root")


def test_nothing_is_visible_before_the_commit_or_after_an_abort(storage: FileStorage) -> None:
    writer = storage.write("a/b")
    writer.write(b"half")
    assert list(storage.list("")) == []
    writer.abort()
    writer.abort()
    assert list(storage.list("")) == []
    with storage.write("a/b") as writer:
        writer.write(b"whole")
    assert [(info.key, info.size) for info in storage.list("a")] == [("a/b", 5)]
    with pytest.raises(RuntimeError), storage.write("a/b") as writer:
        writer.write(b"other")
        raise RuntimeError
    assert storage.read("a/b") == b"whole"


def test_of_racing_creates_one_wins(storage: FileStorage) -> None:
    start, won = threading.Barrier(8), []

    def create(number: int) -> None:
        start.wait()
        if storage.create("key", b"%d" % number):
            won.append(number)

    threads = [threading.Thread(target=create, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert storage.read("key") == b"%d" % won[0]
    assert len(won) == 1


def test_ranges(storage: FileStorage) -> None:
    storage.put("key", b"0123456789")
    assert storage.read("key", 3, 4) == b"3456"
    assert storage.read("key", 8, 100) == b"89"
    assert storage.read("key", 10) == b""
    assert b"".join(storage.chunks("key", 2, 5)) == b"23456"


def test_lists_are_sorted_and_prefix_exact(storage: FileStorage) -> None:
    for key in ("b/2", "b/1", "ba", "b-", "c", "b/1é", "b/ x"):
        storage.put(key, b"")
    keys = [info.key for info in storage.list("b")]
    assert keys == sorted(["b/2", "b/1", "ba", "b-", "b/1é", "b/ x"])
    assert [info.key for info in storage.list("b/")] == sorted(["b/2", "b/1", "b/1é", "b/ x"])


def test_missing_objects(storage: FileStorage) -> None:
    for action in (lambda: storage.read("no"), lambda: storage.stat("no")):
        with pytest.raises(NotFound, match="no such object"):
            action()
    storage.delete(["no"])


@pytest.mark.parametrize("key", ["", "/a", "a//b", "../a", "a/./b", "a/..", "a\0b"])
def test_keys_that_would_leave_the_folder_are_refused(storage: FileStorage, key: str) -> None:
    with pytest.raises(Denied):
        storage.read(key)


def test_a_finished_file_is_adopted_and_counted(storage: FileStorage, tmp_path: Path) -> None:
    path = tmp_path / "finished"
    path.write_bytes(b"data")
    storage.put_file("x/y", path)
    assert not path.exists()
    assert storage.read("x/y") == b"data"
    assert storage.requests.counts()["put"] == 1
    assert storage.requests.counts()["put_bytes"] == 4
    local = storage.local_path("x/y")
    assert local.read_bytes() == b"data"


def test_a_full_disk_is_unavailable_and_leaves_nothing(storage: FileStorage, tmp_path: Path) -> None:
    writer = storage.write("key")
    writer._file.close()  # type: ignore[attr-defined]
    writer._file = Path("/dev/full").open("wb")  # type: ignore[attr-defined]
    writer.write(b"x")
    with pytest.raises(Unavailable, match="disk is full"):
        writer.commit()
    assert list(storage.list("")) == []


def test_bad_urls_are_refused() -> None:
    for url in ("file://host/path", "file:///path?x=1", "file://"):
        with pytest.raises(ConfigurationError):
            open_file(parse(url))
