"""Makes boto3 clients, and makes another one when the machine has other credentials than before.

boto3 reads a credentials file, a profile or a role once, and keeps what it found. Somebody who mends the
credentials of a running worker would have to restart it. So a request that is refused looks once for new ones.
"""

import base64
import hashlib
import os
import threading
import time
from collections.abc import Callable
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from gomr.errors import ConfigurationError
from gomr.urls import URL
from gomr_s3 import Limits

# S3's own default.
CONTENT_TYPE = "binary/octet-stream"
# Threads of all slots and their parts share the connections of one client; with fewer they would wait for one another.
CONNECTIONS_MAX = 64
CONNECT_SECONDS = 5
STORING = ("PutObject", "UploadPart", "CreateMultipartUpload")
ENCRYPTED = ("PutObject", "CreateMultipartUpload")


class Clients:
    """The client of one storage URL. `get` returns it; `renewed` replaces it if the credentials have changed.

    Safe for several threads. `before_send` hears of each HTTP request.
    """

    def __init__(self, url: URL, limits: Limits) -> None:
        self._url = url
        self._limits = limits
        self._lock = threading.Lock()
        self._before_send: Callable[..., None] | None = None
        self._looked_seconds = 0.0
        self._client, self._credentials = self._made()
        self._retired: Any = None

    def listen(self, before_send: Callable[..., None]) -> None:
        """Have `before_send` hear of each HTTP request, of this client and of those that follow."""
        self._before_send = before_send
        self._client.meta.events.register("before-send.s3", before_send)

    def get(self) -> Any:
        """Return the client to use now."""
        with self._lock:
            return self._client

    def renewed(self, refused: Any) -> bool:
        """Say whether there is a client with other credentials than `refused`, which a server has just denied.

        Threads that are refused at one time share one look: a look at a cloud's metadata may take seconds.
        """
        since = time.monotonic()
        with self._lock:
            if self._client is not refused:
                return True
            if self._looked_seconds > since or self._url.username:
                return False
            self._looked_seconds = time.monotonic()
            try:
                if _found(self._session()) in (None, self._credentials):
                    return False
                client, credentials = self._made()
            except (BotoCoreError, ClientError, ConfigurationError, ValueError, OSError):
                # The refusal says more to the user than that there is nothing new to read.
                return False
            # Other threads may still be using the last client. The one before it has been idle since.
            if self._retired is not None:
                self._retired.close()
            self._retired, self._client, self._credentials = self._client, client, credentials
            return True

    def close(self) -> None:
        """Close the connections."""
        with self._lock:
            self._client.close()
            if self._retired is not None:
                self._retired.close()

    def _session(self) -> Any:
        return boto3.session.Session(profile_name=self._url.options.get("profile"))

    def _made(self) -> tuple[Any, Any]:
        """Return a client and the credentials that it uses, None where they are the URL's or not there."""
        url, limits = self._url, self._limits
        endpoint = url.options.get("endpoint")
        addressing = url.options.get("addressing", "path" if _has_endpoint(endpoint) else "auto")
        if addressing not in ("path", "virtual", "auto"):
            raise ConfigurationError(f"{url}: addressing is {addressing!r}; it is 'path', 'virtual' or 'auto'")
        try:
            session = self._session()
            region = url.options.get("region") or os.environ.get("AWS_REGION") or session.region_name or "us-east-1"
            client = session.client(
                "s3",
                endpoint_url=endpoint,
                region_name=region,
                aws_access_key_id=url.username or None,
                aws_secret_access_key=url.password or None,
                config=Config(
                    retries={"mode": "standard", "total_max_attempts": limits.tries},
                    max_pool_connections=CONNECTIONS_MAX,
                    connect_timeout=CONNECT_SECONDS,
                    read_timeout=limits.timeout_seconds,
                    # Clones and proxies break on the checksums that boto3 adds by itself; ours go with each body.
                    request_checksum_calculation="when_required",
                    response_checksum_validation="when_required",
                    s3={"addressing_style": addressing},
                ),
            )
        except (BotoCoreError, ValueError) as error:
            raise ConfigurationError(f"{url}: {error}") from error
        self._prepare(client)
        return client, None if url.username else _found(session)

    def _prepare(self, client: Any) -> None:
        """Have each request carry what the options of the URL, and other servers than AWS, ask for."""
        events, limits = client.meta.events, self._limits
        for operation in STORING:
            events.register(f"before-call.s3.{operation}", _say_type)
        events.register("before-sign.s3.DeleteObjects", _sum_deletion)
        headers = {
            "x-amz-server-side-encryption": limits.sse,
            "x-amz-server-side-encryption-aws-kms-key-id": limits.kms_id,
        }
        for operation in ENCRYPTED:
            events.register(
                f"before-call.s3.{operation}", _adding({name: said for name, said in headers.items() if said})
            )
        if limits.requester_pays:
            events.register("before-call.s3", _adding({"x-amz-request-payer": "requester"}))
        if self._before_send is not None:
            events.register("before-send.s3", self._before_send)


def _found(session: Any) -> Any:
    """Return the credentials that a session finds, as they are now; None where it finds none, or they fail to come."""
    try:
        found = session.get_credentials()
        return found and tuple(found.get_frozen_credentials())
    except (BotoCoreError, ClientError):
        return None


def _adding(headers: dict[str, str]) -> Callable[..., None]:
    """Return what adds these headers to a request."""

    def add(params: dict[str, Any], **_: object) -> None:
        params["headers"].update(headers)

    return add


def _say_type(params: dict[str, Any], **_: object) -> None:
    """Say of a body what S3 takes it for where nothing is said.

    SeaweedFS would compress one that looks like text, and inflate it for each GET of a range.
    """
    params["headers"].setdefault("Content-Type", CONTENT_TYPE)


def _sum_deletion(request: Any, **_: object) -> None:
    """Send the Content-MD5 that every server takes for a deletion, and not boto3's checksum, which some refuse."""
    for name in [
        name for name in request.headers if name.lower().startswith(("x-amz-checksum-", "x-amz-sdk-checksum"))
    ]:
        del request.headers[name]
    body = request.data if isinstance(request.data, bytes) else str(request.data).encode()
    del request.headers["Content-MD5"]
    request.headers["Content-MD5"] = base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()


def _has_endpoint(option: str | None) -> bool:
    return bool(option or os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL"))
