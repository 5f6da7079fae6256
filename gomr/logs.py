"""gomr's own log events: structlog's, sent to the log sinks; context (job, stage, task, attempt, worker) is bound once.

structlog is imported for the first event that somebody wants: with asyncio and what else it brings, that takes as long
as all the rest of a short command.
"""

import contextlib
import logging
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextvars import ContextVar
from typing import Any

from gomr.backends import LogSink

CLOSE_SECONDS_MAX = 5.0  # for sinks to send what they hold when a process ends
LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
_NOTHING: Mapping[str, Any] = {}
_context: ContextVar[Mapping[str, Any]] = ContextVar("context", default=_NOTHING)


class Log:
    """Where gomr's code tells what happens: `log.warning("slot.failed", slot=3)`."""

    def __init__(self) -> None:
        self._sinks: Sequence[LogSink] | None = None  # None: as structlog has it, which may be the program's own way
        self._level = logging.NOTSET
        self._is_pending = False  # structlog has not been told yet

    def debug(self, event: str, **fields: Any) -> None:
        """Tell what helps to find a fault."""
        self._send("debug", event, fields)

    def info(self, event: str, **fields: Any) -> None:
        """Tell what happens all the time."""
        self._send("info", event, fields)

    def warning(self, event: str, **fields: Any) -> None:
        """Tell what went wrong, and was made good."""
        self._send("warning", event, fields)

    def error(self, event: str, **fields: Any) -> None:
        """Tell what went wrong, and somebody should look at."""
        self._send("error", event, fields)

    def exception(self, event: str, **fields: Any) -> None:
        """Tell an error, with the exception in hand."""
        self._send("error", event, {**fields, "exc_info": True})

    def configure(self, sinks: Sequence[LogSink], level: str) -> None:
        """Send events of at least `level` to every sink."""
        self._sinks, self._level, self._is_pending = sinks, LEVELS[level], True
        self.keep_up()

    def keep_up(self) -> None:
        """Have structlog know by now, where a plugin has imported it and may tell events by it."""
        if self._is_pending and "structlog" in sys.modules:
            self._tell_structlog()

    def is_configured(self) -> bool:
        """Say whether gomr or the program that uses it has said where events go."""
        return self._sinks is not None or ("structlog" in sys.modules and sys.modules["structlog"].is_configured())

    def output_sinks(self) -> list[LogSink]:
        """Return the configured sinks that want what tasks write."""
        return [sink for sink in self._sinks or () if sink.takes_output]

    def _send(self, level: str, event: str, fields: Mapping[str, Any]) -> None:
        if LEVELS[level] < self._level:
            return
        import structlog

        if self._is_pending:
            self._tell_structlog()
        getattr(structlog.get_logger("gomr"), level)(event, **{**_context.get(), **fields})

    def _tell_structlog(self) -> None:
        import structlog

        structlog.configure(
            processors=[
                structlog.contextvars.merge_contextvars,
                _with_context,
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper(fmt="iso", utc=True),
                structlog.processors.format_exc_info,
                self._dispatch,
            ],
            wrapper_class=structlog.make_filtering_bound_logger(self._level),
            cache_logger_on_first_use=False,
        )
        self._is_pending = False

    def _dispatch(self, _logger: Any, _method: str, event: Any) -> Any:
        """Hand an event to the sinks: the last of structlog's processors."""
        import structlog

        for sink in self._sinks or ():
            sink.emit(event)
        raise structlog.DropEvent


def _with_context(_logger: Any, _method: str, event: Any) -> Any:
    """Add what is bound to an event of a plugin's."""
    return {**_context.get(), **event}


log = Log()


@contextlib.contextmanager
def bound(**fields: Any) -> Iterator[None]:
    """Add `fields` to every event that this thread tells meanwhile."""
    token = _context.set({**_context.get(), **fields})
    try:
        yield
    finally:
        _context.reset(token)


def close(sinks: Sequence[LogSink]) -> None:
    """Let every sink send what it holds."""
    for sink in sinks:
        sink.close(CLOSE_SECONDS_MAX)
