"""One HTTP request that follows no redirect: what is sent carries a secret."""

import http.client
import urllib.error
import urllib.request
from collections.abc import Mapping

TIMEOUT_SECONDS = 10.0


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        return None


_opener = urllib.request.build_opener(_NoRedirect)


def request(url: str, headers: Mapping[str, str], body: bytes | None = None) -> tuple[int, bytes]:
    """Return the status and the body of the answer; status 0 where none came, the body then saying why."""
    try:
        return _answer(url, headers, body)
    except urllib.error.URLError as error:  # of a connection: its reason names no address
        return 0, str(error.reason).encode()
    except (OSError, http.client.HTTPException, ValueError) as error:  # the text of some holds the whole address
        return 0, type(error).__name__.encode()


def _answer(url: str, headers: Mapping[str, str], body: bytes | None) -> tuple[int, bytes]:
    try:
        with _opener.open(urllib.request.Request(url, body, dict(headers)), timeout=TIMEOUT_SECONDS) as answer:
            return int(answer.status), bytes(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()
