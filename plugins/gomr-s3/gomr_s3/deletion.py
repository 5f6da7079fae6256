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
# The id of what is written while a bucket's versioning is off: the only one that a later write of the key has, too.
UNVERSIONED = "null"
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
        listed = list(self._listed(prefix))
        if any(item["VersionId"] == UNVERSIONED for item in listed) and not self._writes_versions():
            # A write of this moment would have the same id, and be deleted in its place. The mark that hides such a
            # version has to stay, too.
            shadowed = {item["Key"] for item in listed if item["VersionId"] == UNVERSIONED and not is_live(item)}
            listed = [
                item
                for item in listed
                if item["Key"] not in shadowed or not (item["VersionId"] == UNVERSIONED or item["IsLatest"])
            ]
        by_key: dict[str, list[dict[str, Any]]] = {}
        for item in listed:
            by_key.setdefault(item["Key"], []).append(item)
        for key, items in sorted(by_key.items()):
            # The latest comes last also among those of the same second.
            items.sort(key=lambda item: (item["IsLatest"], item["LastModified"]))
            since = [item["LastModified"] for item in items[1:]] + [items[-1]["LastModified"]]
            for item, until in zip(items, since, strict=True):
                if not is_live(item):
                    name = key.removeprefix(self._bucket.prefix)
                    yield OldVersion(
                        name, item["VersionId"], item.get("Size", 0), until.timestamp(), "Size" not in item
                    )

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

    def _writes_versions(self) -> bool:
        try:
            return self._bucket.call("get_bucket_versioning").get("Status") == "Enabled"
        except (Denied, Unavailable):
            return False

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


def is_live(item: dict[str, Any]) -> bool:
    """Say whether a listed version is the object itself, rather than an old version or the mark of a deletion."""
    return bool(item["IsLatest"]) and "Size" in item
