"""Deletes objects, and what a versioned bucket keeps of deleted ones."""

import itertools
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from typing import Any

from gomr.backends import OldVersion, checked_key
from gomr.errors import Denied, NotFound, StorageError, Unavailable
from gomr_s3.bucket import NOT_SPOKEN, Bucket
from gomr_s3.errors import DENIALS, code_of

# Of one request, by the protocol.
DELETE_KEYS_MAX = 1000
# What a server without the operation answers; one that takes it for another page says 404.
NOT_TOGETHER = (*NOT_SPOKEN, "404", "MalformedXML", "MissingContentLength")
GONE = ("NoSuchKey", "NotFound", "NoSuchVersion")
Name = dict[str, str]


class Deletion:
    """Deletes a thousand objects a request; from a server that does not know such a request, one at a time."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self._singly = False

    def delete(self, keys: Iterable[str]) -> None:
        """Delete objects. Raises StorageError."""
        self._delete({"Key": self._bucket.prefix + checked_key(key)} for key in keys)

    def delete_versions(self, versions: Iterable[OldVersion]) -> None:
        """Delete versions in batches, of each batch the markers last: they hide what would be seen again."""
        remaining = iter(versions)
        while batch := list(itertools.islice(remaining, DELETE_KEYS_MAX)):
            for markers in (False, True):
                self._delete(
                    {"Key": self._bucket.prefix + old.key, "VersionId": old.version}
                    for old in batch
                    if old.is_marker is markers
                )

    def old_versions(self, prefix: str) -> Iterator[OldVersion]:
        """Yield what is no live object, of each key the oldest first, so that its last marker comes last."""
        by_key: dict[str, list[dict[str, Any]]] = {}
        for item in self._listed(prefix):
            by_key.setdefault(item["Key"], []).append(item)
        for key, items in sorted(by_key.items()):
            # The latest comes last also among those of the same second.
            items.sort(key=lambda item: (item["IsLatest"], item["LastModified"]))
            since = [item["LastModified"] for item in items[1:]] + [items[-1]["LastModified"]]
            for item, until in zip(items, since, strict=True):
                is_marker = "Size" not in item
                if is_marker or not item["IsLatest"]:
                    name = key.removeprefix(self._bucket.prefix)
                    yield OldVersion(name, item["VersionId"], item.get("Size", 0), until.timestamp(), is_marker)

    def _listed(self, prefix: str) -> Iterator[dict[str, Any]]:
        request = {"Prefix": self._bucket.prefix + prefix}
        while True:
            try:
                answer = self._bucket.call("list_object_versions", **request)
            except StorageError as error:
                if code_of(error) in NOT_SPOKEN:
                    return  # a server without versions has no old ones
                raise
            yield from answer.get("Versions", [])
            yield from answer.get("DeleteMarkers", [])
            if not answer.get("IsTruncated"):
                return
            request["KeyMarker"] = answer["NextKeyMarker"]
            request["VersionIdMarker"] = answer.get("NextVersionIdMarker", "")

    def _delete(self, names: Iterable[Name]) -> None:
        remaining = iter(names)
        while batch := list(itertools.islice(remaining, DELETE_KEYS_MAX)):
            if not self._singly:
                try:
                    self._delete_together(batch)
                    continue
                except StorageError as error:
                    if code_of(error) not in NOT_TOGETHER:
                        raise
                self._delete_singly(batch)
                self._singly = True
            else:
                self._delete_singly(batch)

    def _delete_together(self, batch: list[Name]) -> None:
        answer = self._bucket.call("delete_objects", Delete={"Objects": batch, "Quiet": True})
        for error in answer.get("Errors", []):
            code = error.get("Code")
            if code not in GONE:
                kind = Denied if code in DENIALS else Unavailable
                place = f"s3://{self._bucket.name}/{error.get('Key')}"
                raise kind(f"{place}: not deleted: the server says {code}: {error.get('Message', '')}".rstrip(": "))

    def _delete_singly(self, batch: list[Name]) -> None:
        futures: list[Future[None]] = [self._bucket.in_pool(self._deleting(name)) for name in batch]
        for future in futures:
            future.result()

    def _deleting(self, name: Name) -> Callable[[], None]:
        def delete() -> None:
            try:
                self._bucket.call("delete_object", **name)
            except NotFound:
                pass
            except StorageError as error:
                if code_of(error) not in GONE:
                    raise

        return delete
