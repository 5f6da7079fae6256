"""Calls to an etcd cluster: deadlines, failover between endpoints, authentication, and errors told apart."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import grpc

from gomr.errors import CoordinatorError, OutOfSpace, Refused, Unknown
from gomr_etcd.diagnosis import Fault, Tls, fault_of
from gomr_etcd.stubs import load

rpc = load()

CALL_SECONDS_MAX = 5.0  # of one call to one endpoint; then another endpoint is asked
MESSAGE_BYTES_MAX = 64 * 1024 * 1024  # of an answer: all jobs of a large cluster; gRPC's own limit is 4 MiB
CHANNEL_OPTIONS = [
    # A peer that is gone without a word is noticed after 10 + 3 s. The ping's own time-out is the one that works
    # (grpc issue 39239), and etcd cuts clients off that ping more often than every 5 s, or while nothing is asked.
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.http2.ping_timeout_ms", 3_000),
    ("grpc.http2.max_pings_without_data", 0),
    # A server that is back is used within a second; by default gRPC waits for up to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 500),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    ("grpc.use_local_subchannel_pool", 1),
]
CERTAIN = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.OUT_OF_RANGE,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.UNIMPLEMENTED,
}
NO_SPACE, TOO_LARGE = "database space exceeded", "request is too large"
# RESOURCE_EXHAUSTED is certain where etcd says one of these; gRPC says it of an answer that is too large, and then the
# transaction was applied. "invalid auth token" and the like say that the login is over, and nothing was done.
CERTAINLY_EXHAUSTED = (NO_SPACE, TOO_LARGE, "trying to send message larger than max")
LOGIN_OVER = ("invalid auth token", "revision of auth store is old", "user name is empty")
T = TypeVar("T")
Metadata = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Login:
    """A user of etcd's own authentication."""

    user: str
    password: str = field(repr=False)


class Calls:
    """The endpoints of one cluster, one channel each; a call goes to the endpoint that answered last.

    Safe for several threads. A process that forks must do so before it makes one.
    """

    def __init__(
        self,
        endpoints: Sequence[str],
        login: Login | None = None,
        tls: Tls | None = None,
    ) -> None:
        self.endpoints = list(endpoints)
        self._tls = tls
        self._channels = [self._channel(endpoint, tls) for endpoint in endpoints]
        self._login = login
        self._token = ""
        self._current = 0
        self._answered: set[int] = set()  # endpoints that are of this cluster, whatever ails them later
        self._lock = threading.Lock()

    def run(self, call: Callable[[grpc.Channel, Metadata, float], T], timeout_seconds: float) -> T:
        """Run `call(channel, metadata, seconds)` at the current endpoint. Raises Unknown, Refused.

        After a failure that another endpoint might not have, the next call goes to the next one. One that is no etcd,
        or cannot be talked to as we do, is left for the next one at once: nothing was done there.
        """
        odd: list[str] = []
        while True:
            number = self._current
            try:
                result = self._authenticated(call, number, min(timeout_seconds, CALL_SECONDS_MAX))
            except grpc.RpcError as error:
                fault = self._fault(error, number)
                if fault is None or not fault.lasts:
                    raise self._translated(error, number, fault) from error
                odd.append(f"etcd at {self.endpoints[number]}: {fault.text}")
                self._leave(number)
                if len(odd) == len(self.endpoints):
                    raise Refused("; ".join(odd)) from error
            else:
                self._answered.add(number)
                return result

    def channel(self) -> tuple[grpc.Channel, Metadata, Callable[[grpc.RpcError], CoordinatorError]]:
        """Return the current channel for a stream, its metadata, and what makes an error of its failure."""
        number = self._current
        return self._channels[number], self._metadata(), lambda error: self._translated(error, number)

    def ask(self, service: str, method: str, request: Any, timeout_seconds: float) -> Any:
        """Make one plain call, such as ask("KV", "Txn", ...), and return its reply. Raises Unknown, Refused."""

        def call(channel: grpc.Channel, metadata: Metadata, seconds: float) -> Any:
            stub = getattr(rpc, f"{service}Stub")(channel)
            return getattr(stub, method)(request, timeout=seconds, metadata=metadata)

        return self.run(call, timeout_seconds)

    def at(self, endpoint: str) -> "Calls":
        """Return the calls to one endpoint alone."""
        return Calls([endpoint], self._login, self._tls)

    def log_in_again(self) -> None:
        """Have the next call log in anew."""
        self._token = ""

    def close(self) -> None:
        """Close the channels."""
        for channel in self._channels:
            channel.close()

    def _authenticated(self, call: Callable[[grpc.Channel, Metadata, float], T], number: int, seconds: float) -> T:
        channel = self._channels[number]
        if self._login and not self._token:
            self._log_in(channel, seconds)
        try:
            return call(channel, self._metadata(), seconds)
        except grpc.RpcError as error:
            # Tokens expire, change with etcd's users, and a member that was started anew knows none: nothing was done.
            if not self._login or not any(text in _details(error) for text in LOGIN_OVER):
                raise
            self._log_in(channel, seconds)
            return call(channel, self._metadata(), seconds)

    def _log_in(self, channel: grpc.Channel, seconds: float) -> None:
        assert self._login is not None
        request = rpc.AuthenticateRequest(name=self._login.user, password=self._login.password)
        self._token = rpc.AuthStub(channel).Authenticate(request, timeout=seconds).token

    def _metadata(self) -> Metadata:
        return (("token", self._token),) if self._token else ()

    def _fault(self, error: grpc.RpcError, number: int) -> Fault | None:
        """Return what is wrong with an endpoint that has never answered; None where the error says it itself."""
        if number in self._answered:
            return None
        if error.code() == grpc.StatusCode.UNIMPLEMENTED:
            return Fault(f"it is a server of something else, and no etcd of version 3 ({_details(error)})", lasts=True)
        if error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
            return fault_of(self.endpoints[number], self._tls)
        return None

    def _leave(self, number: int) -> None:
        """Have the next call go to another endpoint."""
        with self._lock:
            if self._current == number:
                self._current = (number + 1) % len(self.endpoints)

    def _translated(self, error: grpc.RpcError, number: int, fault: Fault | None = None) -> CoordinatorError:
        code, details = error.code(), _details(error)
        endpoint = self.endpoints[number]
        if any(text in details for text in LOGIN_OVER):
            self.log_in_again()
        exhausted = code == grpc.StatusCode.RESOURCE_EXHAUSTED
        if code in CERTAIN or (exhausted and any(text in details.lower() for text in CERTAINLY_EXHAUSTED)):
            refusal = OutOfSpace if NO_SPACE in details else Refused
            return refusal(f"etcd at {endpoint}: {_sentence(code, details)}")
        self._leave(number)
        if fault is not None or (code == grpc.StatusCode.UNAVAILABLE and "connect" in details):
            reason = fault.text if fault else details.rpartition(": ")[2]
            return Unknown(f"etcd at {endpoint} does not answer ({reason}); check GOMR_COORDINATOR and that etcd runs")
        return Unknown(f"etcd at {endpoint}: {code.name}: {details or 'no answer'}")

    @staticmethod
    def _channel(endpoint: str, tls: Tls | None) -> grpc.Channel:
        if tls is None:
            return grpc.insecure_channel(endpoint, CHANNEL_OPTIONS)
        return grpc.secure_channel(endpoint, grpc.ssl_channel_credentials(*tls), CHANNEL_OPTIONS)


def _details(error: grpc.RpcError) -> str:
    return str(error.details() or "")


def _sentence(code: grpc.StatusCode, details: str) -> str:
    if NO_SPACE in details:
        return "its space is used up (NOSPACE): compact and defragment it, or raise --quota-backend-bytes"
    if "user name is empty" in details or "authentication failed" in details:
        return f"{details}; write etcd://USER:PASSWORD@host:2379"
    if "authentication is not enabled" in details:
        return f"{details}; leave the user out of the URL, or enable it there"
    return f"{code.name}: {details}"
