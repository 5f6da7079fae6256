"""`s3://bucket/prefix`: storage in AWS S3 and the servers that speak its protocol."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from gomr.backends import Storage
from gomr.errors import ConfigurationError
from gomr.hookspecs import Backend, hookimpl
from gomr.urls import URL

OPTIONS = ("endpoint", "region", "addressing", "profile", "tries", "part_bytes", "parallel", "timeout_seconds")
MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of one storage, each a URL option."""

    tries: int = 6  # of a request that fails for the moment; with backoff some 20 s
    part_bytes: int = 16 * MIB  # of one PUT or GET of a larger object; S3 takes no part below 5 MiB, and 10,000 of them
    parallel: int = 4  # parts of one object on their way at a time: with parts of 8 MiB, 32 MiB of memory
    timeout_seconds: float = 60.0  # of a server that sends nothing


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
    from gomr_s3.storage import S3Storage

    return S3Storage(url.host, url.path.strip("/"), _client(url, limits), limits)


def _limits(url: URL) -> Limits:
    given: dict[str, Any] = {}
    for name, kind, least in (("tries", int, 1), ("part_bytes", int, 5 * MIB), ("parallel", int, 1)):
        given[name] = _number(url, name, kind, least)
    given["timeout_seconds"] = _number(url, "timeout_seconds", float, 1)
    return Limits(**{name: value for name, value in given.items() if value is not None})


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


def _client(url: URL, limits: Limits) -> Any:
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError

    endpoint = url.options.get("endpoint")
    addressing = url.options.get("addressing", "path" if _has_endpoint(endpoint) else "auto")
    if addressing not in ("path", "virtual", "auto"):
        raise ConfigurationError(f"{url}: addressing is {addressing!r}; it is 'path', 'virtual' or 'auto'")
    try:
        session = boto3.session.Session(profile_name=url.options.get("profile"))
        region = url.options.get("region") or os.environ.get("AWS_REGION") or session.region_name or "us-east-1"
        return session.client(
            "s3",
            endpoint_url=endpoint,
            region_name=region,
            aws_access_key_id=url.username or None,
            aws_secret_access_key=url.password or None,
            config=Config(
                retries={"mode": "standard", "total_max_attempts": limits.tries},
                max_pool_connections=64,  # threads of all slots and their parts; more would wait for one another
                connect_timeout=5,
                read_timeout=limits.timeout_seconds,
                # Clones and proxies break on the checksums that boto3 adds by itself; ours go with each body.
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
                s3={"addressing_style": addressing},
            ),
        )
    except (BotoCoreError, ValueError) as error:
        raise ConfigurationError(f"{url}: {error}") from error


def _has_endpoint(option: str | None) -> bool:
    return bool(option or os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL"))
