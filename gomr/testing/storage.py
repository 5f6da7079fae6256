"""`StorageConformance`: what every storage must do."""

import hashlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from gomr.backends import KEY_BYTES_MAX, Storage, counted_requests
from gomr.errors import ConfigurationError, Denied, NotFound, Unavailable
from gomr.testing.base import Conformance, open_storage
from gomr.testing.racers import ROUNDS, create_many, replace_and_read

ODD_KEYS = (
    "plain",
    "with space",
    "ünïcödé/ключ/鍵/🗝",
    "percent%20%2F",
    "plus+and&amp;?query=1#fragment",
    "quote'\"",
    "tab\tand\nnewline",
    "<xml>&</xml>",
    "..dots",
    "trailing.",
    "k" * 200,
)
NO_KEYS = ("", "/leading", "trailing/", "a//b", "a/./b", "a/../b", "..", "nul\0", "k" * (KEY_BYTES_MAX + 1), "\ud800")


class StorageConformance(Conformance):
    """Override the fixture `storage_url`; and, where there can be such, `other_storage_url` (another place, whose
    keys must not be seen) and `unreachable_storage_url`."""

    large_bytes: ClassVar[int] = 20 * 2**20
    many_objects: ClassVar[int] = 1100
    """More than one page of a listing."""

    @pytest.fixture
    def storage_url(self) -> str:
        """Return the URL of the storage under test."""
        raise NotImplementedError("override the fixture storage_url")

    @pytest.fixture
    def other_storage_url(self) -> str:
        """Return the URL of another storage on the same server."""
        pytest.skip("no fixture other_storage_url")

    @pytest.fixture
    def unreachable_storage_url(self) -> str:
        """Return the URL of a server that is not there."""
        pytest.skip("no fixture unreachable_storage_url: this storage has no server")

    @pytest.fixture
    def storage(self, storage_url: str) -> Iterator[Storage]:
        """The storage under test."""
        storage = open_storage(storage_url, self.plugins)
        yield storage
        storage.close()

    @pytest.mark.parametrize("size", [0, 1, 1000, 2**20 + 1])
    def test_bytes_come_back(self, storage: Storage, name: str, size: int) -> None:
        data = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
        storage.put(name, data)
        assert storage.read(name) == data
        assert b"".join(storage.chunks(name)) == data
        assert storage.stat(name).size == size

    def test_a_large_object_comes_back_whole_and_in_ranges(self, storage: Storage, name: str) -> None:
        block = hashlib.sha256(name.encode()).digest() * 2**15
        written = hashlib.sha256()
        with storage.write(name) as writer:
            for _ in range(self.large_bytes // len(block)):
                writer.write(block)
                written.update(block)
        read = hashlib.sha256()
        pieces = 0
        for data in storage.chunks(name):
            read.update(data)
            pieces += 1
        assert read.digest() == written.digest()
        assert pieces > 1, "chunks gave a large object in one piece: memory would grow with it"
        assert b"".join(storage.chunks(name, len(block) - 10, 2 * len(block))) == block[-10:] + block + block[:-10]

    def test_a_file_is_stored(self, storage: Storage, name: str, tmp_path: Path) -> None:
        path = tmp_path / "file"
        path.write_bytes(b"of a file")
        storage.put_file(name, path)
        assert storage.read(name) == b"of a file"

    @pytest.mark.parametrize(
        ("offset", "length", "expected"),
        [
            (0, 4, b"0123"),
            (3, 4, b"3456"),
            (8, 100, b"89"),
            (9, None, b"9"),
            (0, 0, b""),
            (10, 5, b""),
            (50, 5, b""),
            (10, None, b""),
        ],
    )
    def test_ranges(self, storage: Storage, name: str, offset: int, length: int | None, expected: bytes) -> None:
        storage.put(name, b"0123456789")
        assert storage.read(name, offset, length) == expected
        assert b"".join(storage.chunks(name, offset, length)) == expected

    def test_nothing_is_visible_before_the_commit(self, storage: Storage, name: str) -> None:
        writer = storage.write(name)
        writer.write(b"x" * 100)
        with pytest.raises(NotFound):
            storage.read(name)
        assert not list(storage.list(name))
        writer.commit()
        assert storage.read(name) == b"x" * 100
        writer.abort()
        assert storage.read(name) == b"x" * 100, "an abort after the commit took the object away"

    @pytest.mark.parametrize("size", [10, 12 * 2**20])
    def test_nothing_is_left_of_an_aborted_write(self, storage: Storage, name: str, size: int) -> None:
        def fail() -> None:
            with storage.write(name) as writer:
                writer.write(b"x" * size)
                raise ValueError("on purpose")

        with pytest.raises(ValueError, match="on purpose"):
            fail()
        with pytest.raises(NotFound):
            storage.stat(name)
        storage.put(name, b"old")
        with pytest.raises(ValueError, match="on purpose"):
            fail()
        assert storage.read(name) == b"old"

    def test_a_write_replaces_the_whole_object(self, storage: Storage, name: str) -> None:
        storage.put(name, b"a longer old one")
        before = storage.stat(name).version
        storage.put(name, b"new")
        assert storage.read(name) == b"new"
        assert storage.stat(name).version != before

    def test_create_leaves_an_object_alone(self, storage: Storage, name: str) -> None:
        assert storage.create(name, b"first") is True
        assert storage.create(name, b"second") is False
        assert storage.read(name) == b"first"

    def test_one_of_racing_creates_wins(self, storage: Storage, storage_url: str, name: str) -> None:
        if not storage.creates_exclusively:
            pytest.skip("the storage says that it cannot create exclusively")
        wins = self.race(create_many, storage_url, name)
        assert sum(any(won) for won in wins) > 1, "they did not race: one of them won every time"
        for number in range(ROUNDS):
            winners = [racer for racer, won in enumerate(wins) if won[number]]
            assert len(winners) == 1, f"round {number}: racers {winners} were all told that they were the first"
            assert storage.read(f"{name}/{number}") == f"racer {winners[0]}".encode()

    def test_readers_see_whole_objects_while_they_are_replaced(
        self, storage: Storage, storage_url: str, name: str
    ) -> None:
        storage.put(name, b"0" * 300_000)
        for seen in self.race(replace_and_read, storage_url, name):
            assert all(kinds == 1 and size == 300_000 for kinds, size in seen)

    def test_what_is_written_is_read_at_once_by_others(self, storage: Storage, storage_url: str, name: str) -> None:
        other = open_storage(storage_url, self.plugins)
        try:
            for number in range(ROUNDS):
                storage.put(name, b"%d" % number)
                assert other.read(name) == b"%d" % number
                assert [info.key for info in other.list(name)] == [name]
                storage.delete([name])
                with pytest.raises(NotFound):
                    other.stat(name)
                assert not list(other.list(name))
        finally:
            other.close()

    @pytest.mark.parametrize("key", ODD_KEYS)
    def test_odd_keys(self, storage: Storage, name: str, key: str) -> None:
        storage.put(f"{name}/{key}", key.encode())
        assert storage.read(f"{name}/{key}") == key.encode()
        assert [info.key for info in storage.list(f"{name}/")] == [f"{name}/{key}"]
        storage.delete([f"{name}/{key}"])
        assert not list(storage.list(f"{name}/"))

    def test_a_backslash_is_a_letter_like_others(self, storage: Storage, name: str) -> None:
        self.test_odd_keys(storage, name, "back\\slash")

    @pytest.mark.parametrize("key", NO_KEYS)
    def test_what_is_no_key_is_refused(self, storage: Storage, key: str) -> None:
        with pytest.raises(Denied):
            storage.read(key)
        with pytest.raises(Denied):
            storage.put(key, b"x")

    def test_a_list_is_sorted_and_of_its_prefix_alone(self, storage: Storage, name: str) -> None:
        keys = [f"{name}/{key}" for key in ("a/b", "a b", "a-b", "a.b", "ab", "b", "a/c/d", "A", "é", "aa")]
        for key in keys:
            storage.put(key, b"12345")
        storage.put(f"{name}x", b"")
        assert [info.key for info in storage.list(f"{name}/")] == sorted(keys)
        assert [info.key for info in storage.list(f"{name}/a/")] == [f"{name}/a/b", f"{name}/a/c/d"]
        assert [info.key for info in storage.list(f"{name}/a")] == sorted(key for key in keys if "/a" in key)
        assert {info.size for info in storage.list(f"{name}/")} == {5}
        assert not list(storage.list(f"{name}/nothing"))

    def test_many_objects_are_listed_and_deleted(self, storage: Storage, name: str) -> None:
        keys = [f"{name}/{number:05d}" for number in range(self.many_objects)]
        for key in keys:
            storage.put(key, b"")
        assert [info.key for info in storage.list(f"{name}/")] == keys
        storage.delete(iter(keys))
        assert not list(storage.list(f"{name}/"))

    def test_old_versions_go_and_objects_stay(self, storage: Storage, name: str) -> None:
        for data in (b"1", b"22"):
            storage.put(f"{name}/kept", data)
            storage.put(f"{name}/deleted", data)
        storage.delete([f"{name}/deleted"])
        if old := list(storage.old_versions(f"{name}/")):
            storage.delete_versions(old)
        assert not list(storage.old_versions(f"{name}/"))
        assert [(info.key, info.size) for info in storage.list(f"{name}/")] == [(f"{name}/kept", 2)]
        assert storage.read(f"{name}/kept") == b"22"

    def test_what_is_not_there_is_not_found(self, storage: Storage, name: str) -> None:
        for ask in (
            lambda: storage.read(name),
            lambda: storage.read(name, 5, 5),
            lambda: storage.read(name, 0, 0),
            lambda: list(storage.chunks(name)),
            lambda: storage.stat(name),
        ):
            with pytest.raises(NotFound):
                ask()
        storage.delete([name])

    def test_facts_of_an_object_stay_and_its_clock_goes_on(self, storage: Storage, name: str) -> None:
        storage.put(f"{name}/1", b"x")
        first = storage.stat(f"{name}/1")
        assert storage.stat(f"{name}/1") == first
        assert next(iter(storage.list(f"{name}/"))).version == first.version
        storage.put(f"{name}/2", b"x")
        assert storage.stat(f"{name}/2").modified_seconds >= first.modified_seconds

    def test_threads_do_not_disturb_one_another(self, storage: Storage, name: str) -> None:
        problems: list[BaseException] = []

        def work(number: int) -> None:
            try:
                for turn in range(10):
                    data = f"{number} {turn} ".encode() * 100
                    storage.put(f"{name}/{number}", data)
                    assert storage.read(f"{name}/{number}") == data
            except BaseException as error:
                problems.append(error)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not problems

    def test_requests_are_counted_for_who_makes_them(self, storage: Storage, name: str) -> None:
        before = storage.requests.counts()
        with counted_requests() as counted:
            storage.put(name, b"12345")
            storage.read(name, 0, 3)
            storage.stat(name)
            list(storage.list(name))
            storage.delete([name])
        counts = counted.counts()
        assert {kind: counts.get(kind, 0) for kind in ("put", "get", "head", "list", "delete")} == {
            "put": 1,
            "get": 1,
            "head": 1,
            "list": 1,
            "delete": 1,
        }
        assert (counts["put_bytes"], counts["get_bytes"]) == (5, 3)
        after = storage.requests.counts()
        assert {kind: after[kind] - before.get(kind, 0) for kind in counts} == counts

    def test_another_storage_does_not_see_the_objects(
        self, storage: Storage, other_storage_url: str, name: str
    ) -> None:
        other = open_storage(other_storage_url, self.plugins)
        try:
            storage.put(name, b"x")
            with pytest.raises(NotFound):
                other.read(name)
            assert not list(other.list(name))
            other.delete([name])
            assert storage.read(name) == b"x"
        finally:
            other.close()

    def test_an_unknown_option_is_refused(self, storage_url: str) -> None:
        joint = "&" if "?" in storage_url else "?"
        with pytest.raises(ConfigurationError, match="no-such-option"):
            open_storage(f"{storage_url}{joint}no-such-option=1", self.plugins)

    def test_a_server_that_is_not_there_is_unavailable(self, unreachable_storage_url: str, name: str) -> None:
        storage = open_storage(unreachable_storage_url, self.plugins)
        try:
            with pytest.raises(Unavailable):
                storage.read(name)
        finally:
            storage.close()

    def test_closing_twice_does_nothing(self, storage_url: str) -> None:
        storage = open_storage(storage_url, self.plugins)
        storage.close()
        storage.close()
