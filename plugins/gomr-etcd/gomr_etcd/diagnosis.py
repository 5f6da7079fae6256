"""Finds out by plain sockets why an endpoint does not answer: gRPC says the same of a wrong certificate and a pause."""

import contextlib
import socket
import ssl
from dataclasses import dataclass

PROBE_SECONDS_MAX = 2.0  # for each connection and each answer on it
# How a client of HTTP/2 begins (RFC 9113, 3.4), and an empty frame of settings.
HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
SETTINGS_FRAME = 4
TLS_ALERT = b"\x15"  # the first byte of what a server that wants TLS says to anything else
# X509_V_ERR_* of OpenSSL.
EXPIRED, NOT_YET_VALID, OTHER_NAMES = 10, 9, (62, 64)

Tls = tuple[bytes | None, bytes | None, bytes | None]
"""Certificate authority, private key and certificate."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Why an endpoint does not answer; `lasts`: waiting does not mend it."""

    text: str
    lasts: bool


def fault_of(endpoint: str, tls: Tls | None) -> Fault | None:
    """Return why `endpoint`, such as "host:2379", does not answer; None where it seems to."""
    host, _, port = endpoint.rpartition(":")
    host = host.strip("[]")
    try:
        with _connected(host, int(port)) as connection:
            return _with_tls(connection, host, int(port), tls) if tls else _without_tls(connection, host, int(port))
    except socket.gaierror as error:
        return Fault(f"its name is not known here ({error.strerror})", lasts=False)
    except ConnectionRefusedError:
        return Fault("nobody listens there", lasts=False)
    except OSError as error:
        return Fault(str(error.strerror or error), lasts=False)


def _without_tls(connection: socket.socket, host: str, port: int) -> Fault | None:
    answer = _answer(connection)
    if _is_http2(answer):
        return None
    if answer and not answer.startswith(TLS_ALERT):
        return Fault("a server of something else answers there, and no etcd", lasts=True)
    if _speaks_tls(host, port):
        return Fault("it speaks TLS; add ?tls=1, with &ca=FILE for an authority of your own", lasts=True)
    return None


def _with_tls(connection: socket.socket, host: str, port: int, tls: Tls) -> Fault | None:
    authority, key, _ = tls
    context = ssl.create_default_context(cadata=authority.decode("ascii", "replace") if authority else None)
    context.set_alpn_protocols(["h2"])
    try:
        with context.wrap_socket(connection, server_hostname=host) as secured:
            secured.sendall(HELLO)
            secured.recv(1024)  # a server that wants a certificate says so after the handshake
            return None
    except ssl.SSLCertVerificationError as error:
        return Fault(_of_certificate(error, authority=authority is not None), lasts=True)
    except (ssl.SSLError, ConnectionError) as error:
        if "CERTIFICATE" in str(getattr(error, "reason", "")):
            told = "does not take this client's certificate" if key else "wants a client's certificate"
            return Fault(f"it {told}: give cert=FILE&cert_key=FILE of an authority that it knows", lasts=True)
        if _speaks_plainly(host, port):
            return Fault("it speaks without TLS; leave out tls, ca, cert and cert_key", lasts=True)
        return Fault(str(error), lasts=False)


def _of_certificate(error: ssl.SSLCertVerificationError, *, authority: bool) -> str:
    if error.verify_code == EXPIRED:
        return "its certificate has expired: renew it there"
    if error.verify_code == NOT_YET_VALID:
        return "its certificate is not valid yet: look at the clocks of both machines"
    if error.verify_code in OTHER_NAMES:
        return f"its certificate is for another name: {error.verify_message}; use a name that stands in it"
    told = "the authority in ca=FILE did not sign it" if authority else "give its authority: add ca=FILE"
    return f"its certificate is of an unknown authority ({error.verify_message}): {told}"


def _speaks_tls(host: str, port: int) -> bool:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # it is only asked whether it speaks TLS: nothing is sent
    with contextlib.suppress(OSError), _connected(host, port) as connection, context.wrap_socket(connection):
        return True
    return False


def _speaks_plainly(host: str, port: int) -> bool:
    with contextlib.suppress(OSError), _connected(host, port) as connection:
        answer = _answer(connection)
        return answer != b"" and not answer.startswith(TLS_ALERT)
    return False


def _connected(host: str, port: int) -> socket.socket:
    return socket.create_connection((host, port), PROBE_SECONDS_MAX)


def _answer(connection: socket.socket) -> bytes:
    """Return the beginning of what a server says to a client of HTTP/2; nothing where it hangs up, or is silent."""
    try:
        connection.sendall(HELLO)
        return connection.recv(1024)
    except (ConnectionError, TimeoutError):
        return b""


def _is_http2(answer: bytes) -> bool:
    return len(answer) > SETTINGS_FRAME and answer[3] == SETTINGS_FRAME
