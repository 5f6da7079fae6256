"""Copies into the storage, by digest, what workers cannot reach where it is: the executable, and local inputs."""

import hashlib
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from gomr.backends import COPY_BYTES, file_version
from gomr.errors import NotFound, UsageError
from gomr.executables import file_digest
from gomr.model import STORED, Input
from gomr.scheduling import keys
from gomr.scheduling.cluster import Cluster

LOCAL = "file://"
UPLOADS_MAX = 8  # inputs on their way at a time

OnUpload = Callable[[int, int], None]
"""Called with the bytes of local inputs that are on their way or stored by now, and of all of them."""


def needs_copies(cluster: Cluster, inputs: Sequence[Input]) -> bool:
    """Say whether any input lies on this machine and the cluster's storage does not."""
    return cluster.storage.local_path(keys.CLUSTER_OBJECT) is None and any(_is_local(item) for item in inputs)


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


def store_inputs(cluster: Cluster, inputs: Sequence[Input], on_upload: OnUpload) -> list[Input]:
    """Store the local ones of `inputs`, each once by its digest; return what stands for them in the job.

    Raises UsageError where one changed since it was found.
    """
    meter = Meter(sum(item.size for item in inputs if _is_local(item)), on_upload)
    with ThreadPoolExecutor(UPLOADS_MAX, "upload") as pool:
        return list(pool.map(lambda item: _stored(cluster, item, meter), inputs))


def store_file(cluster: Cluster, path: Path, key: str, digest: str, on_bytes: Callable[[int], None]) -> bool:
    """Store a file, unless an object of its size is there under `key`; return whether it was stored now.

    `on_bytes` hears how many bytes are on their way. Raises UsageError where the file has another digest by now.
    """
    size = path.stat().st_size
    try:
        if cluster.storage.stat(key).size == size:
            on_bytes(size)
            return False
    except NotFound:
        pass

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
    return True


def _stored(cluster: Cluster, item: Input, meter: Meter) -> Input:
    if not _is_local(item):
        return item
    path = Path(item.url.removeprefix(LOCAL))
    digest = file_digest(path, lambda _position: meter.moved(item.url, 0))  # a large one takes its time: meter it
    if file_version(path.stat()) != item.version:  # its splits were cut from other bytes
        raise UsageError(f"{path} changed while the job was submitted; submit again")
    store_file(cluster, path, keys.stored_input(digest), digest, lambda position: meter.moved(item.url, position))
    return replace(item, url=f"{STORED}{digest}", version=digest, name=item.url)


def _is_local(item: Input) -> bool:
    return item.url.startswith(LOCAL)
