"""The SQLite coordinator keeps the contract of Coordinator."""

import multiprocessing
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gomr.backends import Delete, Put, Range, Revision, Version
from gomr.builtin import sqlite
from gomr.builtin.sqlite import SqliteCoordinator, open_sqlite
from gomr.errors import ConfigurationError, Refused, Unknown
from gomr.urls import parse


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "coordinator.db"


@pytest.fixture
def coordinator(path: Path) -> Iterator[SqliteCoordinator]:
    coordinator = SqliteCoordinator(path)
    yield coordinator
    coordinator.close()


def race(
    path: Path, name: str, start: "multiprocessing.synchronize.Barrier", wins: "multiprocessing.Queue[str]"
) -> None:
    coordinator = SqliteCoordinator(path)
    start.wait()
    for number in range(50):
        if coordinator.transact([Version(f"k{number}", exists=False)], [Put(f"k{number}", name.encode())]).ok:
            wins.put(f"k{number}")
    wins.put("")
    coordinator.close()


def test_of_several_processes_one_creates_a_key(path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    start, wins = context.Barrier(4), context.Queue()
    processes = [context.Process(target=race, args=(path, str(number), start, wins)) for number in range(4)]
    for process in processes:
        process.start()
    won: list[str] = []
    while won.count("") < 4:
        won.append(wins.get(timeout=120))
    for process in processes:
        process.join()
    assert sorted(filter(None, won)) == sorted(f"k{number}" for number in range(50))


def test_a_stale_revision_is_refused_also_after_a_delete(coordinator: SqliteCoordinator) -> None:
    first = coordinator.transact((), [Put("a", b"1")]).revision
    coordinator.transact((), [Delete("a")])
    second = coordinator.transact((), [Put("a", b"1")]).revision
    assert second > first
    answer = coordinator.transact([Revision("a", first)], [Put("a", b"2")], [Range("a")])
    assert not answer.ok
    assert answer.found[0].items[0].revision == second


def test_a_range_sees_earlier_puts_of_its_transaction(coordinator: SqliteCoordinator) -> None:
    answer = coordinator.transact((), [Put("d/1", b""), Put("d/2", b"x"), Range("d/", "d0", count_only=True)])
    assert answer.found[0].count == 2
    found = coordinator.transact((), [Range("d/", "d0", limit=1), Range("d/", "d0", keys_only=True)]).found
    assert [item.key for item in found[0].items] == ["d/1"]
    assert found[0].count == 2
    assert [item.value for item in found[1].items] == [b"", b""]


def test_a_lease_ends_by_itself_and_takes_its_keys(coordinator: SqliteCoordinator) -> None:
    lease = coordinator.grant_lease(0.3)
    coordinator.transact((), [Put("w/a", b"", lease)])
    assert coordinator.transact((), [Range("w/a")]).found[0].count == 1
    deadline = time.monotonic() + 60
    while coordinator.transact((), [Range("w/a")]).found[0].count:
        assert time.monotonic() < deadline
    assert coordinator.keep_lease(lease) == 0.0
    with pytest.raises(Refused, match="gone"):
        coordinator.transact((), [Put("w/a", b"", lease)])


def test_a_kept_lease_stays_and_a_revoked_one_goes(coordinator: SqliteCoordinator) -> None:
    lease = coordinator.grant_lease(600)
    coordinator.transact((), [Put("w/a", b"", lease)])
    assert coordinator.keep_lease(lease) == 600
    coordinator.revoke_lease(lease)
    coordinator.revoke_lease(lease)
    assert coordinator.transact((), [Range("w/a")]).found[0].count == 0


def test_a_lease_of_another_boot_is_over(coordinator: SqliteCoordinator, monkeypatch: pytest.MonkeyPatch) -> None:
    lease = coordinator.grant_lease(600)
    coordinator.transact((), [Put("w/a", b"", lease)])
    monkeypatch.setattr(sqlite, "boot_id", lambda: "another boot")
    assert coordinator.keep_lease(lease) == 0.0
    assert coordinator.transact((), [Range("w/a")]).found[0].count == 0


@pytest.mark.parametrize("change", [Put("q/1", b"new"), Delete("q/0")])
def test_a_wait_returns_at_a_change_of_its_range(
    path: Path, coordinator: SqliteCoordinator, change: Put | Delete
) -> None:
    revision = coordinator.transact((), [Put("q/0", b"")]).revision
    other = SqliteCoordinator(path)
    waiter = threading.Thread(target=coordinator.wait, args=("q/", "q0", revision, 120.0))
    waiter.start()
    other.transact((), [Put("elsewhere", b"")])
    other.transact((), [change])
    waiter.join(100)
    assert not waiter.is_alive()
    other.close()


def test_a_wait_that_starts_after_the_change_returns_and_other_ranges_do_not_wake_it(
    coordinator: SqliteCoordinator,
) -> None:
    revision = coordinator.transact((), [Put("q/0", b"")]).revision
    coordinator.wait("q/", "q0", revision - 1, 120.0)
    coordinator.transact((), [Put("other", b"")])
    started = time.monotonic()
    coordinator.wait("q/", "q0", revision, 0.3)
    assert time.monotonic() - started >= 0.3


def test_a_locked_database_is_unknown_and_a_full_one_refused(path: Path, coordinator: SqliteCoordinator) -> None:
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(Unknown):
        coordinator.transact((), [Put("a", b"")], timeout_seconds=0.05)
    other.execute("ROLLBACK")
    pages = other.execute("PRAGMA page_count").fetchone()[0]
    other.close()
    coordinator._db.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(Refused, match="full"):
        coordinator.transact((), [Put("a", bytes(1_000_000))])
    coordinator._db.execute("PRAGMA max_page_count = 1000000")
    assert coordinator.transact((), [Put("a", bytes(1_000_000)), Range("a")]).found[0].count == 1


def test_a_network_file_system_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "_file_system", lambda _folder: "nfs4")
    with pytest.raises(ConfigurationError, match="network file system"):
        open_sqlite(parse(f"sqlite://{tmp_path}/x.db"))


def test_bad_urls_and_files_are_refused(tmp_path: Path) -> None:
    for url in ("sqlite://relative/x.db", f"sqlite://{tmp_path}/x.db?mode=rw"):
        with pytest.raises(ConfigurationError):
            open_sqlite(parse(url))
    (tmp_path / "x.db").write_bytes(b"not a database, but long enough to be looked at" * 100)
    with pytest.raises(ConfigurationError, match="cannot open"):
        open_sqlite(parse(f"sqlite://{tmp_path}/x.db"))
