"""One bucket as seen through boto3: every request goes through `call`, which raises gomr's errors."""

import base64
import hashlib
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from typing import Any, TypeVar

from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError
from urllib3.exceptions import HTTPError

from gomr.backends import checked_key
from gomr_s3.errors import BrokenBody, translated

KINDS = {"GetObject": "get", "HeadObject": "head", "ListObjectsV2": "list"}
CONTENT_TYPE = "binary/octet-stream"  # S3's own default
T = TypeVar("T")
Count = Callable[[str, int, int], None]


class Bucket:
    """A bucket and the prefix of gomr's keys in it. `count(kind, size, requests)` hears of every request and body."""

    def __init__(
        self, client: Any, name: str, prefix: str, threads: int, count: Callable[[str, int, int], None]
    ) -> None:
        self.name = name
        self.prefix = f"{prefix}/" if prefix else ""
        self.endpoint = str(client.meta.endpoint_url)
        self.count = count
        self._client = client
        self._pool = ThreadPoolExecutor(threads, "s3")
        client.meta.events.register("before-send.s3", self._count_request)
        for operation in ("PutObject", "UploadPart", "CreateMultipartUpload"):
            client.meta.events.register(f"before-call.s3.{operation}", _say_type)

    def put(self, key: str, body: bytes, **arguments: Any) -> None:
        """Store an object in one request, with the SHA-256 that the server must find. Raises StorageError."""
        digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
        self.call("put_object", key, Body=body, ChecksumSHA256=digest, **arguments)
        self.count("put", len(body), 0)

    def call(self, operation: str, key: str | None = None, **arguments: Any) -> dict[str, Any]:
        """Make a request for the object of a key, or for the bucket where that is None. Raises StorageError."""
        if key is not None:
            arguments["Key"] = self.prefix + checked_key(key)
        try:
            answer: dict[str, Any] = getattr(self._client, operation)(Bucket=self.name, **arguments)
            return answer
        except (ClientError, BotoCoreError, ResponseParserError) as error:
            raise translated(error, self.name, key or "", self.endpoint) from error

    def get(self, key: str, **arguments: Any) -> tuple[dict[str, Any], bytes]:
        """Make a GET request; return its answer and the whole body. Raises StorageError, of them BrokenBody."""
        answer = self.call("get_object", key, **arguments)
        try:
            with answer["Body"] as body:
                data: bytes = body.read()
        except (BotoCoreError, HTTPError) as error:
            raise BrokenBody(str(translated(error, self.name, key, self.endpoint))) from error
        self.count("get", len(data), 0)
        return answer, data

    def in_pool(self, work: Callable[[], T]) -> "Future[T]":
        """Run `work` in another thread; its requests count for the task that this thread works for."""
        return self._pool.submit(copy_context().run, work)

    def close(self) -> None:
        """Close the connections."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._client.close()

    def _count_request(self, event_name: str, **_: object) -> None:
        """Count one HTTP request, tries again included; boto3 calls it before each."""
        operation = event_name.rpartition(".")[2]
        kind = KINDS.get(operation) or ("delete" if operation.startswith(("Delete", "Abort")) else "put")
        self.count(kind, 0, 1)


def _say_type(params: dict[str, Any], **_: object) -> None:
    """Say of a body what S3 takes it for where nothing is said.

    SeaweedFS would compress one that looks like text, and inflate it for each GET of a range.
    """
    params["headers"].setdefault("Content-Type", CONTENT_TYPE)
