"""`loggly://`: log events sent to Loggly in batches, and read again."""

import os
import re
from collections.abc import Iterable
from urllib.parse import urlsplit

from gomr.backends import LogSink
from gomr.errors import ConfigurationError
from gomr.hookspecs import Backend, hookimpl
from gomr.urls import URL

OPTIONS = ("tag", "endpoint", "read_endpoint", "held_events", "held_bytes", "tries")
SEND_ENDPOINT = "https://logs-01.loggly.com"
TAG = re.compile(r"[A-Za-z0-9_.-]+(,[A-Za-z0-9_.-]+)*")  # letters, digits, dash, period, underscore


@hookimpl
def gomr_log_sinks() -> Iterable[Backend[LogSink]]:
    """Offer loggly://."""
    yield Backend("loggly", open_loggly, "Loggly; LOGGLY_TOKEN to send, LOGGLY_ACCOUNT and a login to read")


def open_loggly(url: URL) -> LogSink:
    """Open the sink; the secrets come from the environment. Raises ConfigurationError."""
    url.check_options(*OPTIONS)
    tag = url.options.get("tag", "gomr")
    if not TAG.fullmatch(tag):
        raise ConfigurationError(f"{url}: tag {tag!r}: letters, digits, '-', '.', '_', and commas between tags")
    from gomr_loggly.reader import Account
    from gomr_loggly.sink import LogglySink

    account = _environment("ACCOUNT")
    reading = url.options.get("read_endpoint") or (f"https://{account}.loggly.com" if account else "")
    for address in (url.options.get("endpoint", SEND_ENDPOINT), reading):
        if address and not urlsplit(address).scheme.startswith("http"):
            raise ConfigurationError(f"{url}: {address!r} is not an http(s) address")
    return LogglySink(
        url.options.get("endpoint", SEND_ENDPOINT).rstrip("/"),
        _environment("TOKEN"),
        tag,
        held_events_max=_count(url, "held_events", 20_000),
        held_bytes_max=_count(url, "held_bytes", 64 * 1024 * 1024),
        tries_max=_count(url, "tries", 8),
        account=Account(
            reading.rstrip("/"), _environment("USERNAME"), _environment("PASSWORD"), _environment("API_TOKEN")
        ),
    )


def _environment(name: str) -> str:
    """Return GOMR_LOGGLY_<name>, or the historic LOGGLY_<name>, without the newline that mounted secrets end with.

    Raises ConfigurationError where it holds what no such value does.
    """
    variable = f"GOMR_LOGGLY_{name}" if os.environ.get(f"GOMR_LOGGLY_{name}") else f"LOGGLY_{name}"
    text = os.environ.get(variable, "").rstrip("\r\n")
    if not text.isprintable() or (" " in text and name != "PASSWORD"):
        raise ConfigurationError(f"{variable} holds a space or a character that cannot be printed; set it anew")
    return text


def _count(url: URL, name: str, default: int) -> int:
    text = url.options.get(name, str(default))
    if not text.isdigit() or int(text) < 1:
        raise ConfigurationError(f"{url}: {name} is {text!r}; it is a number from 1 on")
    return int(text)
