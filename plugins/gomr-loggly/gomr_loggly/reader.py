"""Reads events back through Loggly's iterate API."""

import base64
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from gomr.errors import ConfigurationError, UnavailableError
from gomr_loggly.http import request

PAGE_EVENTS = 1000  # the most that one request gives
EMPTY_PAGES_MAX = 10  # in a row that say there is a next one: whoever follows them for ever sees nothing
TRIES_MAX = 5  # Loggly limits the rate of searches with 503, and times out with 504
RETRY_SECONDS_FIRST = 0.5


@dataclass(frozen=True, slots=True)
class Account:
    """Where an account's events are read, and the login: an API token, or a user's name and password."""

    address: str
    username: str
    password: str = field(repr=False)
    api_token: str = field(default="", repr=False)

    @property
    def is_known(self) -> bool:
        """Whether there is enough to read."""
        return bool(self.address and (self.api_token or (self.username and self.password)))

    def events(self, match: Mapping[str, str], since_seconds: float) -> Iterator[Mapping[str, Any]]:
        """Yield events whose JSON fields equal those of `match`, oldest first.

        Raises ConfigurationError, UnavailableError.
        """
        if not self.is_known:
            raise ConfigurationError(
                "reading from Loggly needs LOGGLY_ACCOUNT, and LOGGLY_API_TOKEN or LOGGLY_USERNAME and LOGGLY_PASSWORD"
            )
        query = " AND ".join(f'json.{name}:"{_escaped(value)}"' for name, value in match.items())
        parameters = {
            "q": query or "*",
            "from": f"-{max(1, round(since_seconds))}s",
            "until": "now",
            "order": "asc",
            "size": str(PAGE_EVENTS),
        }
        url = f"{self.address}/apiv2/events/iterate?{urlencode(parameters)}"
        empty = 0
        while url:
            page = self._page(url)
            events = page.get("events", [])
            for item in events:
                yield _event(item)
            empty = 0 if events else empty + 1
            url = str(page.get("next") or "")
            if url and not url.startswith(f"{self.address}/"):
                raise UnavailableError("Loggly's next page lies on another host; the login is not sent there")
            if url and empty >= EMPTY_PAGES_MAX:
                raise UnavailableError(f"Loggly gave {empty} empty pages in a row; ask again later, or for less")

    def _page(self, url: str) -> dict[str, Any]:
        status, body = 0, b""
        for tries in range(TRIES_MAX):
            if tries:
                time.sleep(RETRY_SECONDS_FIRST * 2**tries)
            status, body = request(url, {"Authorization": self._authorization()})
            if status in (401, 403):
                raise ConfigurationError(f"Loggly refuses the login ({status}); check LOGGLY_USERNAME, LOGGLY_PASSWORD")
            if status and status < 500 and status != 429:
                break
        if status != 200:
            raise UnavailableError(f"Loggly does not answer: {status or body.decode('utf-8', 'replace')}")
        try:
            page = json.loads(body)
            if not isinstance(page, dict) or not isinstance(page.get("events", []), list):
                raise ValueError("not a page of events")
        except (ValueError, RecursionError) as error:
            raise UnavailableError(f"Loggly answers what is not a page of events: {error}") from error
        return page

    def _authorization(self) -> str:
        if self.api_token:
            return f"bearer {self.api_token}"
        return "Basic " + base64.b64encode(f"{self.username}:{self.password}".encode()).decode()


def _event(item: Any) -> Mapping[str, Any]:
    """Return an event as it was sent, or the text of one that was no JSON."""
    facts = item if isinstance(item, dict) else {}
    event = facts.get("event")
    sent = event.get("json") if isinstance(event, dict) else None
    return sent if isinstance(sent, dict) else {"event": "text", "line": str(facts.get("logmsg", ""))}


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"')
