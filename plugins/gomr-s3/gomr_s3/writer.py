"""Writes one object: a single PUT, or a multipart upload whose parts go in parallel and which is aborted on failure."""

import base64
import hashlib
from collections import deque
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

from gomr.backends import Writer
from gomr.errors import StorageError
from gomr_s3 import Limits
from gomr_s3.bucket import Bucket
from gomr_s3.errors import code_of


class S3Writer(Writer):
    """One object being written; it is visible only once the last request of `commit` has been answered."""

    def __init__(self, bucket: Bucket, key: str, limits: Limits) -> None:
        self._bucket = bucket
        self._key = key
        self._limits = limits
        self._held = bytearray()
        self._upload = ""
        self._parts: list[Future[str]] = []
        self._under_way: deque[Future[str]] = deque()
        self._ended = False

    def write(self, data: bytes) -> None:
        """Append `data`; whole parts go at once."""
        self._held += data
        while len(self._held) > self._limits.part_bytes:
            self._send_part(bytes(self._held[: self._limits.part_bytes]))
            del self._held[: self._limits.part_bytes]

    def commit(self) -> None:
        """Make the object visible."""
        try:
            if self._upload:
                self._send_part(bytes(self._held))
                self._complete()
            else:
                self._bucket.put(self._key, bytes(self._held))
        except BaseException:
            self.abort()
            raise
        self._ended = True

    def abort(self) -> None:
        """Drop what was written, the parts that the server holds included."""
        if self._ended:
            return
        self._ended = True
        self._held.clear()
        for future in self._parts:
            future.cancel()
        for future in self._parts:
            with suppress(BaseException):  # a cancelled one raises that, a failed one its error
                future.result()
        if self._upload:
            with suppress(StorageError):  # what is left is for the bucket's rule on unfinished uploads
                self._bucket.call("abort_multipart_upload", self._key, UploadId=self._upload)

    def _send_part(self, body: bytes) -> None:
        if not self._upload:
            self._upload = self._bucket.call("create_multipart_upload", self._key)["UploadId"]
        while len(self._under_way) >= self._limits.parallel:
            self._under_way.popleft().result()
        number = len(self._parts) + 1
        future = self._bucket.in_pool(lambda: self._put_part(number, body))
        self._parts.append(future)
        self._under_way.append(future)

    def _put_part(self, number: int, body: bytes) -> str:
        # Parts carry an MD5, which every server checks: not all take an upload whose parts carry a SHA-256.
        digest = base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()
        part = {"UploadId": self._upload, "PartNumber": number, "Body": body, "ContentMD5": digest}
        answer = self._bucket.call("upload_part", self._key, **part)
        self._bucket.count("put", len(body), 0)
        return str(answer["ETag"])

    def _complete(self) -> None:
        parts = [{"PartNumber": number, "ETag": part.result()} for number, part in enumerate(self._parts, 1)]
        request: dict[str, Any] = {"UploadId": self._upload, "MultipartUpload": {"Parts": parts}}
        try:
            self._bucket.call("complete_multipart_upload", self._key, **request)
        except StorageError as error:
            if code_of(error) != "NoSuchUpload" or not self._is_there(len(parts)):
                raise

    def _is_there(self, parts: int) -> bool:
        """Say whether a first try, whose answer was lost, completed the upload."""
        found = self._bucket.call("head_object", self._key)
        return str(found.get("ETag", "")).strip('"').endswith(f"-{parts}")
