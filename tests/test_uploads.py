"""Local inputs on their way into a storage elsewhere."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from gomr.backends import file_version
from gomr.builtin.file import FileStorage
from gomr.builtin.sqlite import SqliteCoordinator
from gomr.errors import UsageError
from gomr.model import STORED, Input
from gomr.scheduling.cluster import Cluster
from gomr.scheduling.uploads import store_inputs


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    cluster = Cluster(FileStorage(tmp_path / "storage"), SqliteCoordinator(tmp_path / "c.db"))
    yield cluster
    cluster.close()


def found(path: Path) -> Input:
    return Input(f"file://{path}", path.stat().st_size, file_version(path.stat()))


def test_an_input_is_stored_by_its_digest_and_keeps_its_name(cluster: Cluster, tmp_path: Path) -> None:
    path = tmp_path / "in.txt"
    path.write_text("some lines")
    heard: list[tuple[int, int]] = []
    (stored,) = store_inputs(cluster, [found(path)], lambda *moved: heard.append(moved))
    assert stored.url.startswith(STORED)
    assert stored.shown == f"file://{path}"
    assert cluster.storage.read(f"inputs/{stored.version}") == b"some lines"
    assert heard[0] == (0, 10), "it is heard of while it is read for its digest"
    assert heard[-1] == (10, 10)


def test_an_input_that_changed_since_it_was_cut_is_refused(cluster: Cluster, tmp_path: Path) -> None:
    """Also where its size is what it was: its splits begin where no line does now."""
    path = tmp_path / "in.txt"
    path.write_text("a\nbb\nccc")
    before = found(path)
    path.write_text("aaa\nbb\nc")
    os.utime(path, ns=(1, 1))
    with pytest.raises(UsageError, match="changed while the job was submitted"):
        store_inputs(cluster, [before], lambda _stored, _total: None)
