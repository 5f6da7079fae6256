"""`etcd://host:2379,host:2379/namespace`: coordination of workers on several machines, in an etcd cluster."""

import re
from collections.abc import Iterable
from pathlib import Path

from gomr.backends import Coordinator
from gomr.errors import ConfigurationError
from gomr.hookspecs import Backend, hookimpl
from gomr.urls import URL

OPTIONS = ("tls", "ca", "cert", "cert_key")
DEFAULT_NAMESPACE = "default"
DEFAULT_PORT = 2379


@hookimpl
def gomr_coordinators() -> Iterable[Backend[Coordinator]]:
    """Offer etcd://."""
    yield Backend("etcd", open_etcd, "an etcd cluster; etcd://h1:2379,h2:2379/namespace?tls=1&ca=FILE")


def open_etcd(url: URL) -> Coordinator:
    """Open the cluster of `url`; nothing is asked of it yet. Raises ConfigurationError."""
    url.check_options(*OPTIONS)
    endpoints = [_endpoint(item, url) for item in url.host.split(",") if item] or [f"127.0.0.1:{DEFAULT_PORT}"]
    namespace = url.path.strip("/") or DEFAULT_NAMESPACE
    if not re.fullmatch(r"[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*", namespace):
        raise ConfigurationError(f"{url}: namespace {namespace!r}: use letters, digits, '.', '_', '-' and '/'")
    from gomr_etcd.calls import Calls, Login
    from gomr_etcd.coordinator import EtcdCoordinator

    login = Login(url.username, url.password) if url.username else None
    return EtcdCoordinator(Calls(endpoints, login, _tls(url)), namespace)


def _endpoint(item: str, url: URL) -> str:
    host, _, port = item.rpartition(":") if re.search(r":\d+$", item) else (item, "", str(DEFAULT_PORT))
    if not host or not 0 < int(port) < 65536:
        raise ConfigurationError(f"{url}: {item!r} is not host:port")
    return f"{host}:{port}"


def _tls(url: URL) -> tuple[bytes | None, bytes | None, bytes | None] | None:
    """Return certificate authority, private key and certificate; None for a connection without TLS."""
    if url.options.get("tls", "0") not in ("0", "1"):
        raise ConfigurationError(f"{url}: tls is '0' or '1'")
    paths = [url.options.get(name) for name in ("ca", "cert_key", "cert")]
    if url.options.get("tls") != "1" and not any(paths):
        return None
    if bool(paths[1]) != bool(paths[2]):
        raise ConfigurationError(f"{url}: cert and cert_key go together")
    try:
        ca, key, cert = (Path(path).read_bytes() if path else None for path in paths)
    except OSError as error:
        raise ConfigurationError(f"{url}: {error.filename}: {error.strerror}") from error
    return ca, key, cert
