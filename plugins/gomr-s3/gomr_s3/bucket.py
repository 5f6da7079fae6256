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
from gomr.errors import StorageError
from gomr_s3 import AUTO, MD5, Limits
from gomr_s3.clients import Clients
from gomr_s3.errors import BrokenBody, code_of, is_denial, translated

KINDS = {"GetObject": "get", "HeadObject": "head", "ListObjectsV2": "list", "ListObjectVersions": "list"}
# What servers answer that do not know a header or an operation.
NOT_SPOKEN = ("NotImplemented", "501", "InvalidArgument", "InvalidRequest", "MethodNotAllowed", "405")
T = TypeVar("T")
Count = Callable[[str, int, int], None]


class Bucket:
    """A bucket and the prefix of gomr's keys in it. `count(kind, size, requests)` hears of every request and body."""

    def __init__(self, clients: Clients, name: str, prefix: str, limits: Limits, count: Count) -> None:
        self.name = name
        self.prefix = f"{prefix}/" if prefix else ""
        self.endpoint = str(clients.get().meta.endpoint_url)
        self.count = count
        self.checksums = limits.checksums
        self._clients = clients
        self._pool = ThreadPoolExecutor(4 * limits.parallel, "s3")
        clients.listen(self._count_request)

    def put(self, key: str, body: bytes, **arguments: Any) -> None:
        """Store an object in one request, with the digest that the server must find. Raises StorageError.

        It is a SHA-256. To a server that refuses the header of one, it is an MD5 from then on.
        """
        chosen = self.checksums  # another thread may learn better meanwhile
        try:
            self.call("put_object", key, Body=body, **_digest(body, chosen), **arguments)
        except StorageError as error:
            if chosen != AUTO or code_of(error) not in NOT_SPOKEN:
                raise
            self.call("put_object", key, Body=body, **_digest(body, MD5), **arguments)
            self.checksums = MD5
        self.count("put", len(body), 0)

    def call(self, operation: str, key: str | None = None, **arguments: Any) -> dict[str, Any]:
        """Make a request for the object of a key, or for the bucket where that is None. Raises StorageError.

        A request that is denied is made once more if this machine has got other credentials meanwhile.
        """
        if key is not None:
            arguments["Key"] = self.prefix + checked_key(key)
        client = self._clients.get()
        try:
            try:
                return self._answer(client, operation, arguments)
            except (ClientError, BotoCoreError) as error:
                if not is_denial(error) or not self._clients.renewed(client):
                    raise
            return self._answer(self._clients.get(), operation, arguments)
        except (ClientError, BotoCoreError, ResponseParserError) as error:
            raise translated(error, self.name, key or "", self.endpoint) from error

    def _answer(self, client: Any, operation: str, arguments: dict[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = getattr(client, operation)(Bucket=self.name, **arguments)
        return answer

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
        self._clients.close()

    def _count_request(self, event_name: str, **_: object) -> None:
        """Count one HTTP request, tries again included; boto3 calls it before each."""
        operation = event_name.rpartition(".")[2]
        kind = KINDS.get(operation) or ("delete" if operation.startswith(("Delete", "Abort")) else "put")
        self.count(kind, 0, 1)


def _digest(body: bytes, kind: str) -> dict[str, str]:
    """Return the argument of a PUT that says what the server must find."""
    if kind == MD5:
        return {"ContentMD5": base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()}
    return {"ChecksumSHA256": base64.b64encode(hashlib.sha256(body).digest()).decode()}
