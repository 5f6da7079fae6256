"""Turns what boto3 raises into gomr's storage errors, as sentences that say what to do."""

import re
from typing import Any

from botocore.exceptions import (
    ClientError,
    CredentialRetrievalError,
    HTTPClientError,
    NoCredentialsError,
    PartialCredentialsError,
    ResponseStreamingError,
    SSOTokenLoadError,
    UnauthorizedSSOTokenError,
)
from botocore.exceptions import ConnectionError as BotoConnectionError
from botocore.exceptions import ReadTimeoutError as BotoReadTimeout
from botocore.parsers import ResponseParserError
from urllib3.exceptions import HTTPError

from gomr.errors import Denied, NotFound, StorageError, Unavailable

MOMENTARY = {
    "InternalError",
    "ServiceUnavailable",
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "RequestTimeout",
    "RequestLimitExceeded",
    "TooManyRequests",
    "BadDigest",
    "XAmzContentSHA256Mismatch",
    "IncompleteBody",
    "OperationAborted",
    "ConditionalRequestConflict",
    "NoSuchUpload",  # ended by somebody, or by a lifecycle rule: the next try starts a new one
}
CREDENTIALS = {
    "ExpiredToken": "the credentials have expired; get new ones",
    "ExpiredTokenException": "the credentials have expired; get new ones",
    "TokenRefreshRequired": "the credentials have expired; get new ones",
    "InvalidToken": "the session token is not valid; get new credentials",
    "InvalidAccessKeyId": "the server does not know this access key; check AWS_ACCESS_KEY_ID and the endpoint",
    "SignatureDoesNotMatch": "the secret key does not match the access key; check AWS_SECRET_ACCESS_KEY",
    "RequestTimeTooSkewed": "this machine's clock is more than 15 minutes off; set it",
}
# What a machine with newer credentials may be spared. HEAD has no body, so that its code is the status.
DENIALS = {
    *CREDENTIALS,
    "AccessDenied",
    "AllAccessDisabled",
    "InvalidClientTokenId",
    "401",
    "403",
    "ExpiredTokenException",
}
DENIALS.remove("RequestTimeTooSkewed")
# The room that is left, or allowed, is used up: AWS's clones each say it in their own way.
FULL = {
    "QuotaExceeded",
    "XMinioStorageFull",
    "XMinioAdminBucketQuotaExceeded",
    "InsufficientStorage",
    "StorageFull",
    "507",
}
FULL_MESSAGE = re.compile(
    r"\b(quota|storage cap|cap) (has been |was |is )?(exceeded|reached)|exceed\w* (\w+ ){0,3}quota", re.I
)
MESSAGE_LENGTH_MAX = 300
REGION = {"PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "301", "307"}
INTERRUPTED = (BotoReadTimeout, ResponseStreamingError, HTTPError)  # how a body that broke off may be told


class BrokenBody(Unavailable):
    """A body broke off. boto3 tries requests again by itself, and no bodies."""


def code_of(error: BaseException | None) -> str:
    """Return the code of the answer that is, or caused, `error`: of one without a body its HTTP status, else ""."""
    answer = error if isinstance(error, ClientError) else error and error.__cause__
    return str(answer.response.get("Error", {}).get("Code", "")) if isinstance(answer, ClientError) else ""


def is_denial(error: BaseException) -> bool:
    """Say whether other credentials may be what helps."""
    if isinstance(error, ClientError):
        expired_head = error.operation_name.startswith("Head") and code_of(error) == "400"
        return (code_of(error) in DENIALS or expired_head) and not _is_full(error)
    kinds = (
        NoCredentialsError,
        PartialCredentialsError,
        CredentialRetrievalError,
        UnauthorizedSSOTokenError,
        SSOTokenLoadError,
    )
    return isinstance(error, kinds)


def translated(error: Exception, bucket: str, key: str, endpoint: str) -> StorageError:
    """Return the storage error for one of boto3's."""
    place = f"s3://{bucket}/{key}" if key else f"s3://{bucket}"
    if isinstance(error, ClientError):
        return _of_answer(error, bucket, place, endpoint)
    if isinstance(error, (NoCredentialsError, PartialCredentialsError)):
        return Denied(
            f"s3://{bucket}: no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile ({error})"
        )
    if isinstance(error, (BotoConnectionError, HTTPClientError, *INTERRUPTED)):
        reason = type(error).__name__.removesuffix("Error")
        return Unavailable(f"{place}: {endpoint} does not answer ({reason}); check the endpoint")
    if isinstance(error, ResponseParserError):
        return Denied(f"s3://{bucket}: {endpoint} does not speak S3; check the endpoint")
    return Denied(f"{place}: {error}")


def _of_answer(error: ClientError, bucket: str, place: str, endpoint: str) -> StorageError:
    answer: dict[str, Any] = error.response
    code = code_of(error)
    status = int(answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    if code == "NoSuchKey" or (code in ("404", "NotFound") and error.operation_name == "HeadObject"):
        return NotFound(f"{place}: no such object")
    if code == "NoSuchBucket":
        return Denied(f"s3://{bucket}: no such bucket at {endpoint}; create it, or check its name and the endpoint")
    said = _said(error)
    if code in CREDENTIALS:
        return Denied(f"s3://{bucket}: {CREDENTIALS[code]} ({said})")
    if _is_full(error):
        return Unavailable(
            f"s3://{bucket}: the storage is full: the server says {said}; `gomr gc` frees what no job needs, "
            "or have the quota raised"
        )
    if code in REGION:
        headers = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
        region = headers.get("x-amz-bucket-region") or answer.get("Error", {}).get("Region")
        where = f"in region {region}" if region else "in another region"
        return Denied(f"s3://{bucket}: the bucket is {where}; set AWS_REGION, or the URL option region")
    if code in MOMENTARY or status >= 500 or status == 429:
        if not code or code.isdigit():  # a proxy's error, or another kind of server
            return Unavailable(f"{place}: {endpoint} answers {status} without an S3 error; check the endpoint")
        return Unavailable(f"{place}: the server says {said}")
    action = error.operation_name
    if status == 403 or code in ("AccessDenied", "AllAccessDisabled"):
        sentence = f"{place}: access denied to {action}: the server says {said}; {_allowing(said)}"
    elif status in (404, 405) and code in ("", str(status)):  # an S3 server says more, but in answer to HEAD
        sentence = f"s3://{bucket}: {endpoint} does not speak S3 (it answers {status}); check the endpoint"
    else:
        sentence = f"{place}: {action}: the server says {said}{_wanting(said)}"
    return Denied(sentence)


def _said(error: ClientError) -> str:
    """Return the code and the message of an answer, in one line."""
    code = code_of(error)
    message = " ".join(str(error.response.get("Error", {}).get("Message", "")).split())
    return f"{code}: {message[:MESSAGE_LENGTH_MAX].rstrip('.')}" if message and message != code else code


def _is_full(error: ClientError) -> bool:
    """Say whether room is what is missing; a rate of requests that is used up is no such thing."""
    code, status = code_of(error), error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    if code in FULL:
        return True
    message = str(error.response.get("Error", {}).get("Message", ""))
    return code not in MOMENTARY and status in (400, 403) and bool(FULL_MESSAGE.search(message))


def _wanting(said: str) -> str:
    """Return which option of the URL gives the server what it asks for, where one does."""
    words = said.lower()
    if "checksum" in words or "content-sha256" in words:
        return "; try the URL option checksums=md5"
    if any(word in words for word in ("encrypt", "kms", "sse")):
        return "; see the URL options sse and kms_id"
    if "requester" in words:
        return "; see the URL option requester_pays"
    return ""


def _allowing(said: str) -> str:
    return "check the rights of the credentials and the bucket's policy" + _wanting(said)
