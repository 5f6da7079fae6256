"""Objects in a bucket: ranged and parallel reads, single and multipart writes, put-if-absent where it is real."""

import itertools
import random
import secrets
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from functools import partial
from typing import Any, NamedTuple

from gomr.backends import Finding, ObjectInfo, OldVersion, Storage, Writer
from gomr.errors import Denied, NotFound, StorageError, Unavailable
from gomr_s3 import Limits, probe
from gomr_s3.bucket import Bucket
from gomr_s3.clients import Clients
from gomr_s3.deletion import Deletion
from gomr_s3.errors import BrokenBody, code_of
from gomr_s3.writer import S3Writer

# HEAD requests under way at a time, for a server whose lists say too little: the threads of the pool.
LOOKS_AHEAD = 16
RETRY_SECONDS_FIRST, RETRY_SECONDS_MAX = 0.2, 5.0  # doubled, full jitter
NONCE = "gomr-nonce"  # object metadata that tells our own conditional put from another's


class Piece(NamedTuple):
    """A range of an object: its bytes, the whole object's size, the version of both."""

    data: bytes
    size: int
    version: str


class S3Storage(Storage):
    """Objects below `prefix` of `bucket`."""

    def __init__(self, name: str, prefix: str, clients: Clients, limits: Limits) -> None:
        super().__init__()
        self._limits = limits
        self._bucket = Bucket(clients, name, prefix, limits, self.count)
        self._deletion = Deletion(self._bucket)
        self._probing = threading.Lock()
        self._puts_if_absent: bool | None = None

    @property
    def creates_exclusively(self) -> bool:  # type: ignore[override]
        """Whether the server keeps put-if-absent: tried once, never assumed."""
        with self._probing:
            if self._puts_if_absent is None:
                self._puts_if_absent = probe.puts_if_absent(self._bucket)
            return self._puts_if_absent

    def read(self, key: str, offset: int = 0, length: int | None = None) -> bytes:
        """Return `length` bytes from `offset`: one request, a ranged one unless all is asked for."""
        return self._get(key, offset, length).data

    def chunks(self, key: str, offset: int = 0, length: int | None = None) -> Iterator[bytes]:
        """Yield the bytes from `offset` on; the next parts are fetched in parallel meanwhile."""
        part = self._limits.part_bytes
        first = self._get(key, offset, part if length is None else min(length, part))
        yield first.data
        end = first.size if length is None else min(first.size, offset + length)
        starts = iter(range(offset + len(first.data), end, part))
        ahead: deque[Future[Piece]] = deque()
        try:
            while True:
                for start in itertools.islice(starts, self._limits.parallel - len(ahead)):
                    ahead.append(self._get_ahead(key, start, min(part, end - start), first.version))
                if not ahead:
                    return
                yield ahead.popleft().result().data
        finally:
            for future in ahead:
                future.cancel()

    def write(self, key: str) -> Writer:
        """Start an object: one PUT up to a part's size, a multipart upload above."""
        return S3Writer(self._bucket, key, self._limits)

    def create(self, key: str, data: bytes) -> bool:
        """Write the object if the key is free, by If-None-Match where the server keeps it."""
        if not self.creates_exclusively:
            try:
                self.stat(key)
            except NotFound:
                self.put(key, data)
                return True
            return False
        nonce = secrets.token_hex(16)
        try:
            self._bucket.put(key, data, IfNoneMatch="*", Metadata={NONCE: nonce})
        except StorageError as error:
            if code_of(error) != "PreconditionFailed":
                raise
            return self._is_ours(key, nonce)
        return True

    def stat(self, key: str) -> ObjectInfo:
        """Describe the object."""
        found = self._bucket.call("head_object", key)
        return ObjectInfo(key, found["ContentLength"], found["LastModified"].timestamp(), _version(found))

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Yield every object whose key starts with `prefix`: sorted here, for not all servers keep S3's order."""
        listed = sorted(self._listed(prefix), key=lambda info: info.key)
        yield from listed if all(info.version for info in listed) else self._looked_up(listed)

    def delete(self, keys: Iterable[str]) -> None:
        """Delete objects, a thousand a request, or one where the server knows no more."""
        self._deletion.delete(keys)

    def old_versions(self, prefix: str) -> Iterator[OldVersion]:
        """Yield what a versioned bucket keeps of objects that were deleted or replaced."""
        yield from self._deletion.old_versions(prefix)

    def delete_versions(self, versions: Iterable[OldVersion]) -> None:
        """Delete them for good."""
        self._deletion.delete_versions(versions)

    def diagnose(self) -> Iterator[Finding]:
        """Try what only S3 servers get wrong."""
        yield from probe.findings(self._bucket, creates_exclusively=self.creates_exclusively)

    def close(self) -> None:
        """Close the connections."""
        self._bucket.close()

    def _listed(self, prefix: str) -> Iterator[ObjectInfo]:
        """Yield what the server lists, a thousand a request."""
        request = {"Prefix": self._bucket.prefix + prefix}
        while True:
            answer = self._bucket.call("list_objects_v2", **request)
            for item in answer.get("Contents", []):
                key = item["Key"].removeprefix(self._bucket.prefix)
                if key and not key.endswith("/"):  # folders, which some servers show
                    yield ObjectInfo(key, item["Size"], item["LastModified"].timestamp(), item.get("ETag", ""))
            if not answer.get("IsTruncated"):
                return
            request["ContinuationToken"] = answer["NextContinuationToken"]

    def _looked_up(self, listed: Iterable[ObjectInfo]) -> Iterator[ObjectInfo]:
        """Yield objects with the versions that a server keeps back in its lists: it is asked for each."""
        ahead: deque[Future[ObjectInfo | None]] = deque()
        for info in listed:
            ahead.append(self._bucket.in_pool(partial(self._now, info)))
            if len(ahead) >= LOOKS_AHEAD and (found := ahead.popleft().result()):
                yield found
        yield from filter(None, (future.result() for future in ahead))

    def _now(self, info: ObjectInfo) -> ObjectInfo | None:
        try:
            return info if info.version else self.stat(info.key)
        except NotFound:  # deleted since it was listed
            return None

    def _get_ahead(self, key: str, offset: int, length: int, version: str) -> "Future[Piece]":
        return self._bucket.in_pool(lambda: self._get(key, offset, length, version))

    def _get(self, key: str, offset: int, length: int | None, version: str = "") -> Piece:
        """Fetch a range, again where the body breaks off; `version` refuses another one than that."""
        if length == 0:
            return self._nothing_of(key)
        request = {}
        if offset > 0 or length is not None:
            request["Range"] = f"bytes={offset}-" if length is None else f"bytes={offset}-{offset + length - 1}"
        if version:
            request["IfMatch"] = version
        for tries in range(1, self._limits.tries + 1):
            try:
                return self._fetched(key, request, offset, length)
            except StorageError as error:
                if code_of(error) in ("InvalidRange", "416"):
                    return self._nothing_of(key)
                if code_of(error) in ("PreconditionFailed", "412"):
                    raise Unavailable(f"s3://{self._bucket.name}/{key}: changed while it was read") from error
                if not isinstance(error, BrokenBody) or tries == self._limits.tries:
                    raise
            seconds = min(RETRY_SECONDS_MAX, RETRY_SECONDS_FIRST * 2**tries)
            time.sleep(random.random() * seconds)  # noqa: S311 - jitter, not a secret
        raise AssertionError("unreachable")

    def _fetched(self, key: str, request: dict[str, str], offset: int, length: int | None) -> Piece:
        answer, data = self._bucket.get(key, **request)
        size = int(answer["ContentLength"])
        if "Range" in request:
            if "ContentRange" not in answer:
                raise Denied(f"{self._bucket.endpoint} ignores the Range of a request: gomr cannot use this server")
            size = int(answer["ContentRange"].rpartition("/")[2])
        wanted = max(0, size - offset) if length is None else max(0, min(length, size - offset))
        if len(data) != wanted:
            raise Unavailable(f"s3://{self._bucket.name}/{key}: {len(data)} bytes came, {wanted} were asked for")
        return Piece(data, size, answer.get("ETag", ""))

    def _nothing_of(self, key: str) -> Piece:
        """Return no bytes of an object, which has to be there."""
        info = self.stat(key)
        return Piece(b"", info.size, info.version)

    def _is_ours(self, key: str, nonce: str) -> bool:
        """Say whether a put-if-absent that was refused had been done by a first try whose answer was lost."""
        metadata = self._bucket.call("head_object", key).get("Metadata", {})
        return {name.lower(): value for name, value in metadata.items()}.get(NONCE) == nonce


def _version(found: dict[str, Any]) -> str:
    """Return what tells the bytes of an object from others: its ETag, or else its time and size."""
    return str(found.get("ETag") or f"{found['LastModified'].timestamp():.0f}-{found['ContentLength']}")
