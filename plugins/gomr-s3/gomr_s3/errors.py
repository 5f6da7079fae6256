"""Turns what boto3 raises into gomr's storage errors, as sentences that say what to do."""

from typing import Any

from botocore.exceptions import (
    ClientError,
    HTTPClientError,
    NoCredentialsError,
    PartialCredentialsError,
    ResponseStreamingError,
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
REGION = {"PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "301", "307"}
INTERRUPTED = (BotoReadTimeout, ResponseStreamingError, HTTPError)  # how a body that broke off may be told


class BrokenBody(Unavailable):
    """A body broke off. boto3 tries requests again by itself, and no bodies."""


def code_of(error: BaseException | None) -> str:
    """Return the code of the answer that is, or caused, `error`: of one without a body its HTTP status, else ""."""
    answer = error if isinstance(error, ClientError) else error and error.__cause__
    return str(answer.response.get("Error", {}).get("Code", "")) if isinstance(answer, ClientError) else ""


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
    if code in CREDENTIALS:
        return Denied(f"s3://{bucket}: {CREDENTIALS[code]}")
    if code in REGION:
        headers = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
        region = headers.get("x-amz-bucket-region") or answer.get("Error", {}).get("Region")
        where = f"in region {region}" if region else "in another region"
        return Denied(f"s3://{bucket}: the bucket is {where}; set AWS_REGION, or the URL option region")
    if code in MOMENTARY or status >= 500 or status == 429:
        if not code or code.isdigit():  # a proxy's error, or another kind of server
            return Unavailable(f"{place}: {endpoint} answers {status} without an S3 error; check the endpoint")
        return Unavailable(f"{place}: the server says {code}")
    action, message = error.operation_name, answer.get("Error", {}).get("Message", "")
    if status == 403 or code in ("AccessDenied", "AllAccessDisabled"):
        sentence = f"{place}: access denied to {action}; check the credentials and the bucket's policy"
    elif status in (404, 405) and code in ("", str(status)):  # an S3 server says more, but in answer to HEAD
        sentence = f"s3://{bucket}: {endpoint} does not speak S3 (it answers {status}); check the endpoint"
    else:
        sentence = f"{place}: {action}: {code} {message}".rstrip()
    return Denied(sentence)
