"""An S3 server of odd manners: a proxy before the real one that refuses, and leaves out, what servers out there do."""

import base64
import hashlib
import re
from collections.abc import Callable
from email.message import Message
from http.server import BaseHTTPRequestHandler
from urllib.parse import parse_qs, urlsplit
from xml.sax.saxutils import escape

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from gomr import urls
from tests.s3_proxy import Faulty

ERROR = '<?xml version="1.0"?><Error><Code>{code}</Code><Message>{message}</Message></Error>'
CHECKSUM_HEADERS = ("x-amz-checksum-", "x-amz-sdk-checksum-", "x-amz-trailer")
ENCRYPTION = "x-amz-server-side-encryption"
POLICY = "User is not authorized to perform: s3:PutObject with an explicit deny in a resource-based policy"
Refusal = tuple[int, str, str]


class OddS3(Faulty):
    """The proxy. `manners` names those of MANNERS that it has; `full` is its answer to whoever stores something.

    `url` is that of the real server with this one's endpoint. `known_keys`, if there are any, are the access keys that
    it takes, those included that the real one does not know; `denial` is its answer to others. Each refusal is kept in
    `refused`, by its code.
    """

    def __init__(self, url: str) -> None:
        self.real = urls.parse(url)
        super().__init__(self.real.options["endpoint"])
        self.url = f"{url.partition('?')[0]}?endpoint={self.endpoint}&timeout_seconds=10"
        self.manners: set[str] = set()
        self.full: Refusal = (507, "XMinioStorageFull", "Storage backend has reached its minimum free drive threshold.")
        self.known_keys: set[str] = set()
        self.denial: Refusal = (400, "ExpiredToken", "The provided token has expired.")
        self.refused: list[str] = []
        self.seen = 0

    def serve(self, handler: BaseHTTPRequestHandler, body: bytes, fault: tuple[object, ...]) -> None:
        refusal = self._denied(handler.headers)
        for manner in sorted(self.manners):
            refusal = refusal or MANNERS[manner](self, handler, body)
        if refusal is None:
            super().serve(handler, body, fault)
            return
        status, code, message = refusal
        self.refused.append(code)
        text = ERROR.format(code=code, message=escape(message)).encode()
        self.answer(handler, status, {"Content-Type": "application/xml"}, text)

    def forward(self, handler: BaseHTTPRequestHandler, body: bytes) -> tuple[int, dict[str, str], bytes]:
        # The real server has no KMS, and one access key.
        if handler.headers.get(ENCRYPTION) == "aws:kms" or access_key(handler.headers) != self.real.username:
            self._sign_anew(handler, body)
        status, headers, data = super().forward(handler, body)
        if "no ETag in lists" in self.manners and is_list(handler):
            data = re.sub(rb"<ETag>[^<]*</ETag>", b"", data)
            headers = {name: value for name, value in headers.items() if name.lower() != "content-length"}
        if "no ETag at all" in self.manners and handler.command in ("GET", "HEAD"):
            headers = {name: value for name, value in headers.items() if name.lower() != "etag"}
        return status, headers, data

    def _denied(self, headers: Message) -> Refusal | None:
        return self.denial if self.known_keys and access_key(headers) not in self.known_keys else None

    def _sign_anew(self, handler: BaseHTTPRequestHandler, body: bytes) -> None:
        left_out: tuple[str, ...] = ("authorization", "host", "x-amz-date", "x-amz-content-sha256")
        if handler.headers.get(ENCRYPTION) == "aws:kms":
            left_out += (ENCRYPTION, f"{ENCRYPTION}-aws-kms-key-id")
        kept = {name: value for name, value in handler.headers.items() if name.lower() not in left_out}
        url = f"{self.target.scheme}://{self.target.netloc}{handler.path}"
        request = AWSRequest(handler.command, url, kept, body)
        S3SigV4Auth(Credentials(self.real.username, self.real.password), "s3", "us-east-1").add_auth(request)
        for name in handler.headers:
            del handler.headers[name]
        handler.headers["Host"] = self.target.netloc
        for name, value in request.headers.items():
            handler.headers[name] = value


def access_key(headers: Message) -> str:
    found = re.search(r"Credential=([^/]+)/", headers.get("Authorization", ""))
    return found[1] if found else ""


def is_list(handler: BaseHTTPRequestHandler) -> bool:
    return handler.command == "GET" and "list-type" in parse_qs(urlsplit(handler.path).query)


def deletes_many(handler: BaseHTTPRequestHandler) -> bool:
    query = parse_qs(urlsplit(handler.path).query, keep_blank_values=True)
    return handler.command == "POST" and "delete" in query


def starts_an_object(handler: BaseHTTPRequestHandler) -> bool:
    query = parse_qs(urlsplit(handler.path).query, keep_blank_values=True)
    return (handler.command == "PUT" and "partNumber" not in query) or (
        handler.command == "POST" and "uploads" in query
    )


def no_deletion_of_many(_server: OddS3, handler: BaseHTTPRequestHandler, _body: bytes) -> Refusal | None:
    message = "A header you provided implies functionality that is not implemented."
    return (501, "NotImplemented", message) if deletes_many(handler) else None


def wants_md5(_server: OddS3, handler: BaseHTTPRequestHandler, body: bytes) -> Refusal | None:
    if not deletes_many(handler):
        return None
    said = handler.headers.get("Content-MD5")
    if said is None:
        return 400, "InvalidRequest", "Missing required header for this request: Content-MD5"
    right = base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()
    return (
        None if said == right else (400, "BadDigest", "The Content-MD5 you specified did not match what we received.")
    )


def no_checksum_headers(_server: OddS3, handler: BaseHTTPRequestHandler, _body: bytes) -> Refusal | None:
    for name in handler.headers:
        if name.lower().startswith(CHECKSUM_HEADERS):
            return 400, "InvalidArgument", f"Unsupported header '{name.lower()}' received for this API call."
    return None


def is_full(server: OddS3, handler: BaseHTTPRequestHandler, _body: bytes) -> Refusal | None:
    return server.full if starts_an_object(handler) else None


def wants_encryption(_server: OddS3, handler: BaseHTTPRequestHandler, _body: bytes) -> Refusal | None:
    return (403, "AccessDenied", POLICY) if starts_an_object(handler) and ENCRYPTION not in handler.headers else None


def wants_kms(_server: OddS3, handler: BaseHTTPRequestHandler, _body: bytes) -> Refusal | None:
    if not starts_an_object(handler):
        return None
    said = handler.headers.get(ENCRYPTION), handler.headers.get(f"{ENCRYPTION}-aws-kms-key-id")
    message = "The bucket wants server-side encryption with the KMS key alias/gomr."
    return None if said == ("aws:kms", "alias/gomr") else (403, "AccessDenied", message)


def wants_payment(_server: OddS3, handler: BaseHTTPRequestHandler, _body: bytes) -> Refusal | None:
    message = "Access Denied: this is a Requester Pays bucket."
    return None if handler.headers.get("x-amz-request-payer") == "requester" else (403, "AccessDenied", message)


def slows_down(server: OddS3, _handler: BaseHTTPRequestHandler, _body: bytes) -> Refusal | None:
    with server.lock:
        server.seen += 1
        return (503, "SlowDown", "Please reduce your request rate.") if server.seen % 2 else None


def leaves_out(_server: OddS3, _handler: BaseHTTPRequestHandler, _body: bytes) -> Refusal | None:
    return None


MANNERS: dict[str, Callable[[OddS3, BaseHTTPRequestHandler, bytes], Refusal | None]] = {
    "no deletion of many": no_deletion_of_many,
    "Content-MD5 wanted": wants_md5,
    "no checksum headers": no_checksum_headers,
    "no ETag in lists": leaves_out,
    "no ETag at all": leaves_out,
    "full": is_full,
    "encryption wanted": wants_encryption,
    "KMS wanted": wants_kms,
    "requester pays": wants_payment,
    "every other request slowed down": slows_down,
}
