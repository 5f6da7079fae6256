"""Copies into the storage, by digest, what workers cannot reach where it is: the executable, and local inputs."""

import hashlib
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from gomr.backends import COPY_BYTES, Compare, Item, Put, Range, Revision, Version, file_version
from gomr.errors import NotFound, UsageError
from gomr.executables import file_digest
from gomr.inputs import COPIES
from gomr.model import SPOOLED, STORED, Input
from gomr.scheduling import keys
from gomr.scheduling.cluster import Cluster
from gomr.scheduling.intents import Intent

LOCAL = "file://"
UPLOADS_MAX = 8  # inputs on their way at a time

OnUpload = Callable[[int, int], None]
"""Called with the bytes of local inputs that are on their way or stored by now, and of all of them."""


@dataclass(frozen=True, slots=True)
class Copy:
    """The object that holds a file's bytes; `is_new` where this submit has uploaded it."""

    key: str
    is_new: bool


def needs_copy(cluster: Cluster, item: Input) -> bool:
    """Say whether workers cannot read an input where it is: from a pipe, or here where the storage is elsewhere."""
    if item.url.startswith(SPOOLED):
        return True
    return item.url.startswith(LOCAL) and cluster.storage.local_path(keys.CLUSTER_OBJECT) is None


class Meter:
    """Adds up how far several uploads are, and tells `on_upload`. Safe for several threads."""

    def __init__(self, total: int, on_upload: OnUpload) -> None:
        self._total = total
        self._on_upload = on_upload
        self._positions: dict[str, int] = {}
        self._lock = threading.Lock()

    def moved(self, name: str, position: int) -> None:
        """Say that so many bytes of `name` are stored: fewer than before where it is tried again."""
        with self._lock:
            self._positions[name] = position
            self._on_upload(sum(self._positions.values()), self._total)


def store_inputs(cluster: Cluster, intent: Intent, inputs: Sequence[Input], on_upload: OnUpload) -> list[Input]:
    """Store the local ones of `inputs`, each once by its digest; return what stands for them in the job.

    Raises UsageError where one changed since it was found.
    """
    meter = Meter(sum(item.size for item in inputs if _is_local(item)), on_upload)
    with ThreadPoolExecutor(UPLOADS_MAX, "upload") as pool:
        return list(pool.map(lambda item: _stored(cluster, intent, item, meter), inputs))


def store_file(
    cluster: Cluster, intent: Intent, path: Path, name: str, digest: str, on_bytes: Callable[[int], None]
) -> Copy:
    """Store a file below the folder `name`, unless an object holds its bytes already; have the intent cover it.

    `on_bytes` hears how many bytes are on their way. Raises UsageError where the file has another digest by now.
    """
    size, own = path.stat().st_size, f"{name}/{intent.nonce}"
    look, is_uploaded = Range(keys.holder(name)), False
    found = cluster.read(look)[0].items
    while True:  # each further time because another submit, or gc, got ahead
        compares: list[Compare] = [intent.stands, Version(look.key, exists=bool(found))]
        compares += [Revision(look.key, item.revision) for item in found]
        key = held_object(found[0]) if found else ""
        if not (key and _is_there(cluster, key, size)):
            if not is_uploaded:
                intent.cover(name)
                _upload(cluster, path, own, digest, on_bytes)
                is_uploaded = True
            key = own
        # Written where the object stays the same, too: its new revision tells gc that somebody uses it again.
        value = f"{key} {intent.nonce}".encode()
        answer = cluster.transact(compares, [Put(look.key, value), intent.covering(name)], [look])
        found = answer.found[0].items if answer.found else ()
        if answer.ok or (found and found[0].value == value):  # by a run of it whose answer was lost
            on_bytes(size)
            return Copy(key, is_new=key == own)
        intent.check()


def held_object(holder: Item) -> str:
    """Return the object that a holder's key names; who came to use it last follows there."""
    return holder.value.decode().partition(" ")[0]


def _is_there(cluster: Cluster, key: str, size: int) -> bool:
    try:
        return cluster.storage.stat(key).size == size
    except NotFound:
        return False  # deleted by hand


def _upload(cluster: Cluster, path: Path, key: str, digest: str, on_bytes: Callable[[int], None]) -> None:
    def upload() -> None:
        read, position = hashlib.sha256(), 0
        with path.open("rb") as file, cluster.storage.write(key) as writer:
            while data := file.read(COPY_BYTES):
                read.update(data)
                writer.write(data)
                position += len(data)
                on_bytes(position)
            if read.hexdigest() != digest:
                raise UsageError(f"{path} changed while it was uploaded; submit again")

    cluster.retried(upload)


def _stored(cluster: Cluster, intent: Intent, item: Input, meter: Meter) -> Input:
    if not _is_local(item):
        return item
    path = Path(item.url.partition("://")[2])
    digest = file_digest(path, lambda _position: meter.moved(item.url, 0))  # a large one takes its time: meter it
    if file_version(path.stat()) != item.version:  # its splits were cut from other bytes
        raise UsageError(f"{path} changed while the job was submitted; submit again")
    name = keys.stored_input(digest)
    copy = store_file(cluster, intent, path, name, digest, lambda position: meter.moved(item.url, position))
    return replace(item, url=f"{STORED}{copy.key.removeprefix(COPIES)}", version=digest, name=item.shown)


def _is_local(item: Input) -> bool:
    return item.url.startswith((LOCAL, SPOOLED))
