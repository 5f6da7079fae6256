"""Who may look, and who may act: host names, the token, the header that pages of others cannot send."""

import hashlib
import hmac
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

ACTION_HEADER = "x-gomr-action"  # another site's page cannot send it without asking first, and is never answered
COOKIE = "gomr-web"
OPEN_PATHS = ("/healthz",)  # for probes, which have no token; it tells nothing but that the process is there
LOCAL_HOSTS = ("localhost", "127.0.0.1", "[::1]")


@dataclass(frozen=True, slots=True)
class Access:
    """What the page asks of those who come: a token ("": none), and whether it takes actions."""

    host: str
    token: str = ""
    read_only: bool = False

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can come."""
        return is_loopback(self.host)


def is_loopback(host: str) -> bool:
    """Say whether an address is one of this machine alone."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Guard:
    """Turns away what may not come in, and says in each answer what a browser may do with it."""

    def __init__(self, app: ASGIApp, access: Access, policy: str) -> None:
        self._app = app
        self._access = access
        self._mark = hashlib.sha256(b"gomr-web:" + access.token.encode()).hexdigest()
        self._cookie = f"{COOKIE}-{self._mark[:8]}"  # a host has the cookies of all its ports in one place
        self._headers = [
            (b"content-security-policy", policy.encode()),
            (b"x-content-type-options", b"nosniff"),
            (b"referrer-policy", b"no-referrer"),
            (b"cross-origin-opener-policy", b"same-origin"),
            (b"cross-origin-resource-policy", b"same-origin"),
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request through, or answer it here."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = [*message["headers"], *self._headers]
                if all(name.lower() != b"cache-control" for name, _ in headers):
                    headers.append((b"cache-control", b"no-cache"))  # a newer gomr's page is not to meet older modules
                message = {**message, "headers": headers}
            await send(message)

        request = HTTPConnection(scope)
        refusal = self._refusal(request)
        await (refusal or self._app)(scope, receive, send_guarded)

    def _refusal(self, request: HTTPConnection) -> Response | None:
        if request.scope["path"] in OPEN_PATHS:  # the URL is made of the Host header, too, which anybody can write
            return None
        if not self._access.token and _host(request.headers) not in LOCAL_HOSTS:
            return _refuse(421, "this page answers at localhost only: another name may be a trick to reach it")
        if self._access.token:
            given = request.query_params.get("token", "")
            if given and hmac.compare_digest(given.encode(), self._access.token.encode()):
                return self._welcome(request)
            if not self._is_known(request):
                return _refuse(401, "open the address that `gomr web` printed: it holds the token")
        if request.scope["method"] not in ("GET", "HEAD"):
            return self._refused_action(request)
        return None

    def _refused_action(self, request: HTTPConnection) -> Response | None:
        if self._access.read_only:
            return _refuse(403, "this page is read-only; act with the command line")
        if request.headers.get(ACTION_HEADER) != "1":
            return _refuse(403, f"an action carries the header {ACTION_HEADER}: 1")
        origin = request.headers.get("origin")
        if origin and origin.partition("://")[2] != request.headers.get("host"):
            return _refuse(403, "an action comes from this page itself, or from a program")
        return None

    def _is_known(self, request: HTTPConnection) -> bool:
        bearer = request.headers.get("authorization", "").removeprefix("Bearer ")
        if bearer and hmac.compare_digest(bearer.encode(), self._access.token.encode()):
            return True
        return hmac.compare_digest(request.cookies.get(self._cookie, "").encode(), self._mark.encode())

    def _welcome(self, request: HTTPConnection) -> Response:
        """Put the token's mark into a cookie, and the token out of the address."""
        left = urlencode([(name, value) for name, value in request.query_params.multi_items() if name != "token"])
        answer = RedirectResponse("/" + request.scope["path"].lstrip("/") + (f"?{left}" if left else ""), 303)
        is_secure = request.scope["scheme"] == "https"
        answer.set_cookie(self._cookie, self._mark, httponly=True, samesite="strict", secure=is_secure)
        return answer


def _host(headers: Mapping[str, str]) -> str:
    host = headers.get("host", "")
    return host.rpartition("]")[0] + "]" if host.startswith("[") else host.partition(":")[0]


def _refuse(status: int, message: str) -> Response:
    return JSONResponse({"error": message}, status)
