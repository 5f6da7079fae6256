"""The simulated storage: objects complete or absent, requests that fail, tear, and arrive late."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from gomr.backends import ObjectInfo, Storage, Writer
from gomr.errors import NotFound, Unavailable
from tests.simulation.kernel import Kernel, Party
from tests.simulation.network import Server

T = TypeVar("T")
REQUEST_SECONDS = 20.0  # until a request that nobody answers is given up


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object's bytes, and when they came."""

    data: bytes
    modified_seconds: float


class Bucket:
    """The truth: what is stored."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self.objects: dict[str, StoredObject] = {}
        self.on_change: list[Callable[[str], None]] = []

    def put(self, key: str, data: bytes) -> bool:
        """Store an object; return whether it is new."""
        is_new = key not in self.objects
        self.objects[key] = StoredObject(data, self._kernel.now)
        return is_new

    def arrive(self, key: str, data: bytes) -> None:
        """Store an object that nobody waits for any more."""
        self.put(key, data)

    def get(self, key: str) -> StoredObject:
        """Return an object. Raises NotFound."""
        if key not in self.objects:
            raise NotFound(key)
        return self.objects[key]

    def stat(self, key: str) -> ObjectInfo:
        """Describe an object. Raises NotFound."""
        item = self.get(key)
        return ObjectInfo(key, len(item.data), item.modified_seconds, str(item.modified_seconds))

    def delete(self, keys: Iterable[str]) -> bool:
        """Delete objects."""
        for key in keys:
            if self.objects.pop(key, None) is not None:
                for heard in self.on_change:
                    heard(key)
        return True

    def depart(self, keys: Iterable[str]) -> None:
        """Delete objects that nobody waits for any more."""
        self.delete(keys)

    def list(self, prefix: str) -> list[ObjectInfo]:
        """Return the objects below a prefix."""
        return [self.stat(key) for key in sorted(self.objects) if key.startswith(prefix)]


class SimulatedStorage(Storage):
    """The contract of a storage, over a network with faults."""

    def __init__(self, kernel: Kernel, server: Server, truth: Bucket, party: Party) -> None:
        super().__init__()
        self._kernel = kernel
        self._server = server
        self._truth = truth
        self._party = party

    def read(self, key: str, offset: int = 0, length: int | None = None) -> bytes:
        data = self._ask("get", lambda: self._truth.get(key)).data
        return data[offset : None if length is None else offset + length]

    def write(self, key: str) -> Writer:
        return SimulatedWriter(self, key)

    def create(self, key: str, data: bytes) -> bool:
        return self._ask("put", lambda: None if key in self._truth.objects else self._truth.put(key, data)) is not None

    def stat(self, key: str) -> ObjectInfo:
        return self._ask("head", lambda: self._truth.stat(key))

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        yield from self._ask("list", lambda: self._truth.list(prefix))

    def delete(self, keys: Iterable[str]) -> None:
        names = [*keys]
        if self._server.faults.happens("deletion late"):  # and again in time
            self._kernel.after(self._server.faults.very_late_seconds(), lambda: self._truth.depart(names))
        self._ask("delete", lambda: self._truth.delete(names))

    def upload(self, key: str, data: bytes) -> None:
        """Store a whole object; or tear, or fail and have it arrive much later."""
        faults = self._server.faults
        if faults.happens("upload torn"):
            self._kernel.wait(self._kernel.chance.uniform(0.0, 5.0))
            raise Unavailable("the upload broke off")
        if faults.happens("upload late"):
            self._kernel.after(faults.late_seconds(), lambda: self._truth.arrive(key, data))
            raise Unavailable("the upload was not acknowledged in time")
        self._ask("put", lambda: self._truth.put(key, data))

    def _ask(self, kind: str, act: Callable[[], T]) -> T:
        self.count(kind)
        faults = self._server.faults
        if faults.happens("storage failed"):
            self._kernel.wait(self._kernel.chance.uniform(0.0, 1.0))
            raise Unavailable("503 from the simulated storage")
        answer = self._server.request(self._party, lambda: (act(),), REQUEST_SECONDS)
        if answer is None or faults.happens("storage did it and failed"):
            raise Unavailable("the simulated storage did not answer in time")
        return answer[0]


class SimulatedWriter(Writer):
    """Collects what is written; nothing is visible before the commit."""

    def __init__(self, storage: SimulatedStorage, key: str) -> None:
        self._storage = storage
        self._key = key
        self._data = bytearray()

    def write(self, data: bytes) -> None:
        self._data += data

    def commit(self) -> None:
        self._storage.upload(self._key, bytes(self._data))

    def abort(self) -> None:
        self._data.clear()
