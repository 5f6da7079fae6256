"""Local inputs on their way into a storage elsewhere."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from gomr.backends import file_version
from gomr.builtin.file import FileStorage
from gomr.builtin.sqlite import SqliteCoordinator
from gomr.errors import UsageError
from gomr.executables import file_digest
from gomr.model import STORED, Input
from gomr.scheduling.cluster import Cluster
from gomr.scheduling.intents import Intent, intended
from gomr.scheduling.uploads import store_file, store_inputs


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    cluster = Cluster(FileStorage(tmp_path / "storage"), SqliteCoordinator(tmp_path / "c.db"))
    cluster.identify()
    yield cluster
    cluster.close()


@pytest.fixture
def intent(cluster: Cluster) -> Iterator[Intent]:
    with intended(cluster, "test-000000000000") as intent:
        yield intent


def found(path: Path) -> Input:
    return Input(f"file://{path}", path.stat().st_size, file_version(path.stat()))


def test_an_input_is_stored_by_its_digest_and_keeps_its_name(cluster: Cluster, intent: Intent, tmp_path: Path) -> None:
    path = tmp_path / "in.txt"
    path.write_text("some lines")
    heard: list[tuple[int, int]] = []
    (stored,) = store_inputs(cluster, intent, [found(path)], lambda *moved: heard.append(moved))
    assert stored.url.startswith(STORED)
    assert stored.shown == f"file://{path}"
    assert cluster.storage.read(f"inputs/{stored.version}/{intent.nonce}") == b"some lines"
    assert heard[0] == (0, 10), "it is heard of while it is read for its digest"
    assert heard[-1] == (10, 10)


def test_an_input_that_changed_since_it_was_cut_is_refused(cluster: Cluster, intent: Intent, tmp_path: Path) -> None:
    """Also where its size is what it was: its splits begin where no line does now."""
    path = tmp_path / "in.txt"
    path.write_text("a\nbb\nccc")
    before = found(path)
    path.write_text("aaa\nbb\nc")
    os.utime(path, ns=(1, 1))
    with pytest.raises(UsageError, match="changed while the job was submitted"):
        store_inputs(cluster, intent, [before], lambda _stored, _total: None)


def test_inputs_of_the_same_bytes_share_one_object(cluster: Cluster, intent: Intent, tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.txt" for number in range(20)]
    for path in paths:
        path.write_text("the same")
    stored = store_inputs(cluster, intent, [found(path) for path in paths], lambda _stored, _total: None)
    assert len({item.url for item in stored}) == 1
    assert len(list(cluster.storage.list("inputs/"))) == 1


def test_what_was_deleted_by_hand_is_stored_again(cluster: Cluster, intent: Intent, executable: Path) -> None:
    digest = file_digest(executable)
    with intended(cluster, "test-000000000001") as first:
        old = store_file(cluster, first, executable, "bin/x", digest, lambda _position: None)
    assert not store_file(cluster, intent, executable, "bin/x", digest, lambda _position: None).is_new
    cluster.storage.delete([old.key])
    new = store_file(cluster, intent, executable, "bin/x", digest, lambda _position: None)
    assert new.is_new
    assert new.key != old.key
    assert cluster.storage.read(new.key) == executable.read_bytes()
