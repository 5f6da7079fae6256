"""`s3://bucket/prefix`: storage in AWS S3 and the servers that speak its protocol."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from gomr.backends import Storage
from gomr.errors import ConfigurationError
from gomr.hookspecs import Backend, hookimpl
from gomr.urls import URL

OPTIONS = (
    *("endpoint", "region", "addressing", "profile", "tries", "part_bytes", "parallel", "timeout_seconds"),
    *("checksums", "sse", "kms_id", "requester_pays"),
)
MIB = 1024 * 1024
AUTO, SHA256, MD5 = "auto", "sha256", "md5"
CHOICES = {
    "checksums": (AUTO, SHA256, MD5),
    "sse": ("AES256", "aws:kms", "aws:kms:dsse"),
    "requester_pays": ("true", "false"),
}


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits and manners of one storage, each a URL option."""

    tries: int = 6  # of a request that fails for the moment; with backoff some 20 s
    part_bytes: int = 16 * MIB  # of one PUT or GET of a larger object; S3 takes no part below 5 MiB, and 10,000 of them
    parallel: int = 4  # parts of one object on their way at a time: with parts of 8 MiB, 32 MiB of memory
    timeout_seconds: float = 60.0  # of a server that sends nothing
    checksums: str = AUTO
    """Of a body in one PUT: SHA-256, or MD5 for servers that refuse checksum headers; `auto` finds out."""
    sse: str = ""
    """The encryption that the bucket wants each request to name; "" leaves it to the bucket."""
    kms_id: str = ""
    """The key of KMS to encrypt with."""
    requester_pays: bool = False
    """Whether we agree to pay for what we ask of the bucket."""


@hookimpl
def gomr_storages() -> Iterable[Backend[Storage]]:
    """Offer s3://."""
    yield Backend("s3", open_s3, "AWS S3, MinIO, SeaweedFS, R2, Ceph; ?endpoint=http://host:port&region=...")


def open_s3(url: URL) -> Storage:
    """Open the bucket of `url`; nothing is asked of the server yet. Raises ConfigurationError."""
    url.check_options(*OPTIONS)
    if not url.host:
        raise ConfigurationError(f"{url}: write s3://bucket or s3://bucket/prefix")
    limits = _limits(url)
    from gomr_s3.clients import Clients
    from gomr_s3.storage import S3Storage

    return S3Storage(url.host, url.path.strip("/"), Clients(url, limits), limits)


def _limits(url: URL) -> Limits:
    given: dict[str, Any] = {}
    for name, kind, least in (("tries", int, 1), ("part_bytes", int, 5 * MIB), ("parallel", int, 1)):
        given[name] = _number(url, name, kind, least)
    given["timeout_seconds"] = _number(url, "timeout_seconds", float, 1)
    for name, choices in CHOICES.items():
        given[name] = _choice(url, name, choices)
    given["requester_pays"] = given["requester_pays"] == "true"
    given["kms_id"] = url.options.get("kms_id")
    if given["kms_id"]:
        given["sse"] = given["sse"] or "aws:kms"
        if given["sse"] == "AES256":
            raise ConfigurationError(f"{url}: kms_id names a key of KMS, and sse=AES256 uses none; write sse=aws:kms")
    return Limits(**{name: value for name, value in given.items() if value is not None})


def _choice(url: URL, name: str, choices: tuple[str, ...]) -> str | None:
    value = url.options.get(name)
    if value is not None and value not in choices:
        said = ", ".join(repr(choice) for choice in choices)
        raise ConfigurationError(f"{url}: {name} is {value!r}; it is one of {said}")
    return value


def _number(url: URL, name: str, kind: type[int] | type[float], least: float) -> float | None:
    if name not in url.options:
        return None
    try:
        value = kind(url.options[name])
    except ValueError:
        value = kind(0)
    if value < least:
        raise ConfigurationError(f"{url}: {name} is {url.options[name]!r}; it is a number from {least:g} on")
    return value
