"""The smallest gomr plugin: `GOMR_LOGS=null` keeps no log events."""

from collections.abc import Iterable, Mapping
from typing import Any

from gomr.backends import LogSink
from gomr.hookspecs import Backend, hookimpl


@hookimpl
def gomr_log_sinks() -> Iterable[Backend[LogSink]]:
    """Offer null://."""
    yield Backend("null", lambda _url: NullSink(), "keeps nothing")


class NullSink(LogSink):
    """Drops every event."""

    def emit(self, event: Mapping[str, Any]) -> None:
        """Drop the event."""
