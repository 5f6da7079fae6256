"""Tries what S3 servers are known to get wrong, rather than believe what they say."""

import secrets
from collections.abc import Iterator

from gomr.backends import FAILURE, OK, WARNING, Finding
from gomr.errors import StorageError
from gomr_s3 import MD5
from gomr_s3.bucket import NOT_SPOKEN, Bucket
from gomr_s3.errors import code_of

MISMATCHES = ("BadDigest", "XAmzContentSHA256Mismatch", "InvalidDigest", "XAmzContentChecksumMismatch")


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
    yield from _versions(bucket)


def _checksums(bucket: Bucket) -> Finding:
    """See whether the server refuses a body that does not match its digest."""
    kinds = {"MD5": {"ContentMD5": "A" * 22 + "=="}}
    if bucket.checksums != MD5:
        kinds = {"SHA-256": {"ChecksumSHA256": "A" * 43 + "="}, **kinds}
    for kind, wrong in kinds.items():
        key = f"probe-{secrets.token_hex(8)}"
        try:
            bucket.call("put_object", key, Body=b"probe", **wrong)
        except StorageError as error:
            if code_of(error) in MISMATCHES:
                return Finding(
                    "s3 checksums", OK, f"a body that does not match its {kind} is refused ({code_of(error)})"
                )
            if kind == "MD5" or code_of(error) not in NOT_SPOKEN:
                raise
            continue
        bucket.call("delete_object", key)
        break
    return Finding(
        "s3 checksums",
        WARNING,
        f"the server accepts a body that does not match its {kind}: gomr notices damage only when it reads",
    )


def _versions(bucket: Bucket) -> Iterator[Finding]:
    """Say if the bucket keeps what is deleted. Whoever may not ask, or cannot, hears nothing."""
    try:
        status = bucket.call("get_bucket_versioning").get("Status")
    except StorageError as error:
        if code_of(error) in (*NOT_SPOKEN, "AccessDenied", "403"):
            return
        raise
    if status:
        yield Finding(
            "s3 versioning",
            WARNING,
            f"the versioning of bucket {bucket.name} is {status.lower()}: what gomr deletes goes on taking room. "
            "Let a lifecycle rule delete old versions, or run `gomr gc --versions`",
        )
