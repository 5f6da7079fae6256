"""Serves the page until it is told to stop."""

import secrets
import socket

import uvicorn

from gomr.client import Client
from gomr.errors import ConfigurationError, UnavailableError
from gomr.web.app import make_app
from gomr.web.guard import Access

PORT = 8181  # of the first gomr, too
STOP_SECONDS = 2  # for answers on their way when it is told to stop; streams are cut, and browsers come back
WAITING_MAX = 512  # connections that are not taken yet


def make_token() -> str:
    """Return a token for those who name none."""
    return secrets.token_urlsafe(24)


def check(access: Access) -> None:
    """Raise ConfigurationError where anybody could look, and act, from anywhere."""
    if not access.is_loopback and not access.token:
        raise ConfigurationError(
            f"--host {access.host}: others could look at the jobs, and cancel them; add --token, or leave --host out"
        )


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens. Raises UnavailableError where the address is taken, or not this machine's."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(WAITING_MAX)
    except OSError as error:
        listening.close()
        text = f"{host} port {port}: {error.strerror or error}; choose another with --port or --host"
        raise UnavailableError(text) from None
    return listening


def address(listening: socket.socket, access: Access) -> str:
    """Return where a browser finds the page, with the token where there is one."""
    port = listening.getsockname()[1]
    host = "localhost" if access.is_loopback else access.host
    if host in ("0.0.0.0", "::"):  # noqa: S104 - it was asked for, with a token
        host = socket.gethostname()
    host = f"[{host}]" if ":" in host else host
    return f"http://{host}:{port}/" + (f"?token={access.token}" if access.token else "")


def serve(client: Client, access: Access, listening: socket.socket) -> None:
    """Serve until SIGINT or SIGTERM."""
    config = uvicorn.Config(
        make_app(client, access),
        log_level="warning",
        access_log=False,  # addresses may hold the token
        lifespan="off",
        server_header=False,
        timeout_graceful_shutdown=STOP_SECONDS,
        proxy_headers=False,
    )
    uvicorn.Server(config).run(sockets=[listening])
