"""Tries what S3 servers are known to get wrong, rather than believe what they say."""

import secrets
from collections.abc import Iterator

from gomr.backends import FAILURE, OK, WARNING, Finding
from gomr.errors import StorageError
from gomr_s3.bucket import Bucket
from gomr_s3.errors import code_of

MISMATCHES = ("BadDigest", "XAmzContentSHA256Mismatch", "InvalidDigest", "XAmzContentChecksumMismatch")
NOT_SPOKEN = ("NotImplemented", "501", "InvalidArgument", "InvalidRequest", "MethodNotAllowed")


def puts_if_absent(bucket: Bucket) -> bool:
    """Say whether a second put with If-None-Match is refused. Some servers answer 200 and overwrite."""
    key = f"probe-{secrets.token_hex(8)}"
    try:
        bucket.call("put_object", key, Body=b"first", IfNoneMatch="*")
        bucket.call("put_object", key, Body=b"second", IfNoneMatch="*")
    except StorageError as error:
        if code_of(error) in ("PreconditionFailed", "412"):
            return True
        if code_of(error) not in NOT_SPOKEN:
            raise
    finally:
        bucket.call("delete_object", key)
    return False


def findings(bucket: Bucket, *, creates_exclusively: bool) -> Iterator[Finding]:
    """Yield what `gomr doctor` says of the server."""
    yield Finding("s3 server", OK, f"bucket {bucket.name} at {bucket.endpoint}")
    if creates_exclusively:
        yield Finding("s3 put-if-absent", OK, "a second put with If-None-Match is refused")
    else:
        yield Finding(
            "s3 put-if-absent",
            FAILURE,
            "the server does not keep If-None-Match, or accepts it and overwrites anyway: of racing writers each would "
            "believe to be the first. Use a server that keeps it (AWS S3, MinIO, SeaweedFS from 4.48 on)",
        )
    yield _checksums(bucket)


def _checksums(bucket: Bucket) -> Finding:
    """See whether the server refuses a body that does not match its SHA-256."""
    key = f"probe-{secrets.token_hex(8)}"
    try:
        bucket.call("put_object", key, Body=b"probe", ChecksumSHA256="A" * 43 + "=")
    except StorageError as error:
        if code_of(error) not in MISMATCHES:
            raise
        return Finding("s3 checksums", OK, f"a body that does not match its SHA-256 is refused ({code_of(error)})")
    bucket.call("delete_object", key)
    return Finding(
        "s3 checksums",
        WARNING,
        "the server accepts a body that does not match its SHA-256: gomr notices damage only when it reads",
    )
