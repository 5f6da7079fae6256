"""`CoordinatorConformance`: what every coordinator must do."""

import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from multiprocessing import get_context
from typing import Any, ClassVar, Protocol

import pytest

from gomr.backends import Coordinator, Delete, Put, Range, Revision, Version
from gomr.errors import ConfigurationError, Refused, Unknown
from gomr.testing.base import Conformance, open_coordinator
from gomr.testing.histories import explain
from gomr.testing.racers import TASKS, claim_and_commit, count_up, put_many
from gomr.testing.workload import Workload

WAIT_SECONDS = 30.0  # for what must happen; nothing waits so long that works
CALL_SECONDS = 3.0
LATE_SECONDS_MAX = 10.0  # how late a time-out may be told on a machine at full load


class ServerControl(Protocol):
    """What the fixture `server` offers: to break the server, and to mend it."""

    def kill(self) -> None:
        """End the server without warning."""

    def start(self) -> None:
        """Start it again, and wait until it answers."""

    def pause(self) -> None:
        """Stop it from answering, its connections staying open."""

    def resume(self) -> None:
        """Let it go on."""


class CoordinatorConformance(Conformance):
    """Override the fixture `coordinator_url`; and, where there can be such, `other_coordinator_url` (another
    namespace), `unreachable_coordinator_url`, and `server`, a ServerControl for the tests of faults."""

    lease_seconds: ClassVar[float] = 2.0
    history_seconds: ClassVar[float] = 4.0
    kills: ClassVar[int] = 3

    @pytest.fixture
    def coordinator_url(self) -> str:
        """Return the URL of the coordinator under test."""
        raise NotImplementedError("override the fixture coordinator_url")

    @pytest.fixture
    def other_coordinator_url(self) -> str:
        """Return the URL of another namespace of the same server."""
        pytest.skip("no fixture other_coordinator_url")

    @pytest.fixture
    def unreachable_coordinator_url(self) -> str:
        """Return the URL of a server that is not there."""
        pytest.skip("no fixture unreachable_coordinator_url: this coordinator has no server")

    @pytest.fixture
    def server(self) -> ServerControl:
        """Return the control of the server under test."""
        pytest.skip("no fixture server: this coordinator has no server to break")

    @pytest.fixture
    def coordinator(self, coordinator_url: str) -> Iterator[Coordinator]:
        """The coordinator under test."""
        coordinator = open_coordinator(coordinator_url, self.plugins)
        yield coordinator
        coordinator.close()

    @pytest.fixture
    def another(self, coordinator_url: str) -> Iterator[Coordinator]:
        """A second handle on the coordinator under test."""
        coordinator = open_coordinator(coordinator_url, self.plugins)
        yield coordinator
        coordinator.close()

    @pytest.mark.parametrize("value", [b"", b"x", bytes(range(256)), b"y" * 65536])
    def test_values_come_back(self, coordinator: Coordinator, name: str, value: bytes) -> None:
        answer = coordinator.transact((), [Put(name, value), Range(name)])
        assert answer.ok
        (item,) = answer.found[0].items
        assert (item.key, item.value, item.revision) == (name, value, answer.revision)
        assert coordinator.transact((), [Range(name)]).found[0].items == (item,)

    def test_comparisons_choose_the_branch(self, coordinator: Coordinator, name: str) -> None:
        absent, present = Version(name, exists=False), Version(name, exists=True)
        assert not coordinator.transact([present], [Put(name, b"wrong")]).ok
        first = coordinator.transact([absent], [Put(name, b"1")])
        assert first.ok
        refused = coordinator.transact([absent], [Put(name, b"2")], [Range(name)])
        assert not refused.ok
        assert refused.found[0].items[0].value == b"1"
        assert coordinator.transact([present, Revision(name, first.revision)], [Put(name, b"3")]).ok
        assert not coordinator.transact([Revision(name, first.revision)], [Put(name, b"4")]).ok
        assert not coordinator.transact([Revision(f"{name}-none", first.revision)], [Put(name, b"5")]).ok
        assert _value(coordinator, name) == b"3"

    def test_operations_run_in_order_and_all_or_none(self, coordinator: Coordinator, name: str) -> None:
        prefix, end = f"{name}/", f"{name}0"
        for number in range(3):
            coordinator.transact((), [Put(f"{prefix}{number}", b"x")])
        answer = coordinator.transact(
            (),
            [
                Range(prefix, end, count_only=True),
                Put(f"{prefix}3", b"x"),
                Range(prefix, end, count_only=True),
                Delete(f"{prefix}0", f"{prefix}2"),
                Range(prefix, end),
            ],
        )
        assert [found.count for found in answer.found] == [3, 4, 2]
        assert [item.key for item in answer.found[2].items] == [f"{prefix}2", f"{prefix}3"]
        assert [item.revision for item in answer.found[2].items][1] == answer.revision

    def test_ranges(self, coordinator: Coordinator, name: str) -> None:
        keys = [f"{name}/{key}" for key in ("a", "a/b", "a0", "aa", "b")]
        for key in keys:
            coordinator.transact((), [Put(key, key.encode())])

        def found(**options: Any) -> Any:
            return coordinator.transact((), [Range(f"{name}/", f"{name}0", **options)]).found[0]

        assert [item.key for item in found().items] == sorted(keys)
        assert found().count == len(keys)
        assert [item.key for item in found(limit=2).items] == sorted(keys)[:2]
        assert [item.value for item in found(keys_only=True).items] == [b""] * len(keys)
        assert (found(count_only=True).items, found(count_only=True).count) == ((), len(keys))
        exact = coordinator.transact((), [Range(f"{name}/a"), Range(f"{name}/a", f"{name}/a0")]).found
        assert [[item.key for item in one.items] for one in exact] == [[f"{name}/a"], [f"{name}/a", f"{name}/a/b"]]

    def test_large_ranges(self, coordinator: Coordinator, name: str) -> None:
        for start in range(0, 2000, 10):
            puts = [Put(f"{name}/{number:05d}", b"v" * 500) for number in range(start, start + 10)]
            coordinator.transact((), puts)
        found = coordinator.transact((), [Range(f"{name}/", f"{name}0")]).found[0]
        assert len(found.items) == found.count == 2000

    def test_a_revision_is_never_used_again(self, coordinator: Coordinator, name: str) -> None:
        seen = []
        for _ in range(3):
            seen.append(coordinator.transact([Version(name, exists=False)], [Put(name, b"same")]).revision)
            assert coordinator.transact([Revision(name, seen[-1])], [Delete(name)]).ok
        assert seen == sorted(set(seen))
        coordinator.transact((), [Put(name, b"same")])
        for revision in seen:
            assert not coordinator.transact([Revision(name, revision)], [Put(name, b"of a stale holder")]).ok

    def test_reads_do_not_change_the_revision(self, coordinator: Coordinator, name: str) -> None:
        written = coordinator.transact((), [Put(name, b"x")]).revision
        assert coordinator.transact((), [Range(name)]).found[0].items[0].revision == written

    def test_one_of_racing_puts_wins(self, coordinator_url: str, name: str) -> None:
        wins = self.race(put_many, coordinator_url, name)
        assert sum(any(won) for won in wins) > 1, "they did not race: one of them won every time"
        for number in range(TASKS):
            winners = [racer for racer, won in enumerate(wins) if won[number]]
            assert len(winners) == 1, f"key {number}: racers {winners} were all told that they were the first"

    def test_no_update_is_lost(self, coordinator: Coordinator, coordinator_url: str, name: str) -> None:
        coordinator.transact((), [Put(name, b"0")])
        done = self.race(count_up, coordinator_url, name)
        assert _value(coordinator, name) == b"%d" % sum(done)

    def test_each_of_many_tasks_is_done_once(self, coordinator: Coordinator, coordinator_url: str, name: str) -> None:
        done = [task for tasks in self.race(claim_and_commit, coordinator_url, name) for task in tasks]
        assert sorted(done) == list(range(TASKS))
        assert coordinator.transact((), [Range(f"{name}/d/", f"{name}/d0", count_only=True)]).found[0].count == TASKS
        assert coordinator.transact((), [Range(f"{name}/t/", f"{name}/t0", count_only=True)]).found[0].count == 0

    def test_what_is_written_is_read_at_once_by_others(
        self, coordinator: Coordinator, another: Coordinator, name: str
    ) -> None:
        for number in range(100):
            coordinator.transact((), [Put(name, b"%d" % number)])
            assert _value(another, name) == b"%d" % number

    def test_histories_are_linearizable(self, coordinator_url: str, name: str) -> None:
        workload = Workload(lambda: open_coordinator(coordinator_url, self.plugins), name)
        history = workload.run(self.history_seconds, lambda: None)
        assert len(history) > 50
        assert not explain(history)

    def test_histories_are_linearizable_while_the_server_is_killed(
        self, coordinator_url: str, server: ServerControl, name: str
    ) -> None:
        def break_and_mend() -> None:
            server.kill()
            server.start()

        workload = Workload(lambda: open_coordinator(coordinator_url, self.plugins), name)
        history = workload.run(self.history_seconds, break_and_mend, self.kills)
        assert len(history) > 50
        assert not explain(history)

    def test_a_server_that_does_not_answer_is_unknown_in_time(
        self, coordinator: Coordinator, server: ServerControl, name: str
    ) -> None:
        coordinator.transact((), [Put(name, b"before")])
        lease = coordinator.grant_lease(60.0)
        server.pause()
        try:
            for ask in (
                lambda: coordinator.transact((), [Put(name, b"during")], timeout_seconds=CALL_SECONDS),
                lambda: coordinator.keep_lease(lease, timeout_seconds=CALL_SECONDS),
                lambda: coordinator.grant_lease(10.0, timeout_seconds=CALL_SECONDS),
            ):
                started = time.monotonic()
                with pytest.raises(Unknown):
                    ask()
                assert time.monotonic() - started < CALL_SECONDS + LATE_SECONDS_MAX
        finally:
            server.resume()
        _eventually(lambda: coordinator.transact((), [Put(name, b"after")], timeout_seconds=CALL_SECONDS).ok)
        assert _value(coordinator, name) == b"after"

    def test_keys_and_leases_survive_a_kill_of_the_server(
        self, coordinator: Coordinator, server: ServerControl, name: str
    ) -> None:
        lease = coordinator.grant_lease(60.0)
        revision = coordinator.transact((), [Put(name, b"kept", lease)], durable=True).revision
        server.kill()
        server.start()
        _eventually(lambda: _value(coordinator, name) == b"kept")
        assert coordinator.keep_lease(lease) > 0
        assert coordinator.transact([Revision(name, revision)], [Put(name, b"new")]).revision > revision

    def test_a_lease_ends_by_itself_and_never_early(self, coordinator: Coordinator, name: str) -> None:
        started = time.monotonic()
        lease = coordinator.grant_lease(self.lease_seconds)
        coordinator.transact((), [Put(name, b"x", lease), Put(f"{name}-stays", b"x")])
        while _value(coordinator, name) is not None:
            assert time.monotonic() - started < self.lease_seconds + WAIT_SECONDS
            time.sleep(0.02)
        assert time.monotonic() - started >= self.lease_seconds, "the lease ended early"
        assert coordinator.keep_lease(lease) == 0.0
        assert _value(coordinator, f"{name}-stays") == b"x"
        with pytest.raises(Refused):
            coordinator.transact((), [Put(name, b"x", lease)])

    def test_a_lease_that_is_kept_does_not_end(self, coordinator: Coordinator, name: str) -> None:
        lease = coordinator.grant_lease(self.lease_seconds)
        coordinator.transact((), [Put(name, b"x", lease)])
        kept_at = time.monotonic()
        until = kept_at + 2 * self.lease_seconds
        while time.monotonic() < until:
            time.sleep(self.lease_seconds / 5)
            late = time.monotonic() - kept_at > self.lease_seconds  # this machine was too busy to keep it
            kept = coordinator.keep_lease(lease)
            if late:
                pytest.skip("this machine stood still for longer than the lease")
            assert kept > 0
            kept_at = time.monotonic()
        assert _value(coordinator, name) == b"x"

    def test_a_revoked_lease_takes_its_keys_at_once(self, coordinator: Coordinator, name: str) -> None:
        lease = coordinator.grant_lease(60.0)
        coordinator.transact((), [Put(f"{name}/1", b"x", lease), Put(f"{name}/2", b"x", lease)])
        coordinator.transact((), [Put(f"{name}/2", b"of no lease")])
        coordinator.revoke_lease(lease)
        assert _value(coordinator, f"{name}/1") is None
        assert _value(coordinator, f"{name}/2") == b"of no lease"
        assert coordinator.keep_lease(lease) == 0.0
        coordinator.revoke_lease(lease)

    def test_the_lease_of_a_killed_process_ends(
        self, coordinator: Coordinator, coordinator_url: str, name: str
    ) -> None:
        if not self.processes:
            pytest.skip("processes = 0: this back end lives in one process")
        arguments = (coordinator_url, self.plugins, self.lease_seconds, name)
        holder = get_context("spawn").Process(target=hold, args=arguments)
        holder.start()
        _eventually(lambda: _value(coordinator, name) is not None)
        assert holder.pid is not None
        os.kill(holder.pid, signal.SIGKILL)
        holder.join()
        _eventually(lambda: _value(coordinator, name) is None)

    def test_a_wait_ends_with_a_change(self, coordinator: Coordinator, another: Coordinator, name: str) -> None:
        for change in (Put(f"{name}/x", b"1"), Put(f"{name}/x", b"2"), Delete(f"{name}/x")):
            revision = coordinator.transact((), [Range(f"{name}/", f"{name}0")]).revision
            timer = threading.Timer(0.3, lambda change=change: another.transact((), [change]))
            timer.start()
            started = time.monotonic()
            coordinator.wait(f"{name}/", f"{name}0", revision, WAIT_SECONDS)
            assert time.monotonic() - started < WAIT_SECONDS - 1, "the wait slept through a change"
            timer.join()

    def test_a_wait_for_what_has_changed_already_ends_at_once(self, coordinator: Coordinator, name: str) -> None:
        revision = coordinator.transact((), [Range(f"{name}/", f"{name}0")]).revision
        coordinator.wait(f"{name}/", f"{name}0", revision, 0.2)
        coordinator.transact((), [Put(f"{name}/x", b"1")])
        started = time.monotonic()
        coordinator.wait(f"{name}/", f"{name}0", revision, WAIT_SECONDS)
        assert time.monotonic() - started < WAIT_SECONDS - 1, "the wait slept through an earlier change"

    def test_a_wait_ends_in_time(self, coordinator: Coordinator, name: str) -> None:
        revision = coordinator.transact((), [Range(f"{name}/", f"{name}0")]).revision
        started = time.monotonic()
        coordinator.wait(f"{name}/", f"{name}0", revision, 0.5)
        assert time.monotonic() - started < 0.5 + LATE_SECONDS_MAX

    def test_another_namespace_does_not_see_the_keys(
        self, coordinator: Coordinator, other_coordinator_url: str, name: str
    ) -> None:
        other = open_coordinator(other_coordinator_url, self.plugins)
        try:
            coordinator.transact((), [Put(name, b"x")])
            assert _value(other, name) is None
            assert not other.transact((), [Range("\0", "\x7f")]).found[0].count
            other.transact((), [Delete("\0", "\x7f")])
            assert _value(coordinator, name) == b"x"
        finally:
            other.close()

    def test_an_unknown_option_is_refused(self, coordinator_url: str) -> None:
        joint = "&" if "?" in coordinator_url else "?"
        with pytest.raises(ConfigurationError, match="no-such-option"):
            open_coordinator(f"{coordinator_url}{joint}no-such-option=1", self.plugins)

    def test_a_server_that_is_not_there_is_unknown(self, unreachable_coordinator_url: str, name: str) -> None:
        coordinator = open_coordinator(unreachable_coordinator_url, self.plugins)
        try:
            with pytest.raises(Unknown):
                coordinator.transact((), [Put(name, b"x")], timeout_seconds=CALL_SECONDS)
            with pytest.raises(Unknown):
                coordinator.wait(f"{name}/", f"{name}0", 0, CALL_SECONDS)
        finally:
            coordinator.close()

    def test_closing_twice_does_nothing(self, coordinator_url: str) -> None:
        coordinator = open_coordinator(coordinator_url, self.plugins)
        coordinator.close()
        coordinator.close()


def _value(coordinator: Coordinator, key: str) -> bytes | None:
    items = coordinator.transact((), [Range(key)]).found[0].items
    return items[0].value if items else None


def _eventually(check: Any) -> None:
    """Wait for `check` to hold; what is Unknown meanwhile is asked again."""
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            if check():
                return
        except Unknown:
            if time.monotonic() > deadline:
                raise
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)


def hold(url: str, plugins: Sequence[str] | None, lease_seconds: float, name: str) -> None:
    """Hold a leased key until this process is killed."""
    coordinator = open_coordinator(url, plugins)
    lease = coordinator.grant_lease(lease_seconds)
    coordinator.transact((), [Put(name, b"held", lease)])
    while True:
        time.sleep(lease_seconds / 4)
        coordinator.keep_lease(lease)
