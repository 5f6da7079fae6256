"""`console://`: log events as lines on standard error."""

import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from gomr.backends import LogSink
from gomr.errors import ConfigurationError
from gomr.hookspecs import Backend, hookimpl
from gomr.urls import URL


@hookimpl
def gomr_log_sinks() -> Iterable[Backend[LogSink]]:
    """Offer console://."""
    yield Backend("console", open_console, "lines on standard error; ?format=text|json")


def open_console(url: URL) -> LogSink:
    """Open the sink. Raises ConfigurationError for an option it does not know."""
    url.check_options("format")
    return ConsoleSink(url.options.get("format", "text"))


class ConsoleSink(LogSink):
    """One line an event: `text` for people (coloured on a terminal), `json` for machines."""

    def __init__(self, line_format: str) -> None:
        if line_format not in ("text", "json"):
            raise ConfigurationError(f"console: format is {line_format!r}; it is 'text' or 'json'")
        self._line_format = line_format
        self._render: Callable[..., Any] | None = None

    def emit(self, event: Mapping[str, Any]) -> None:
        """Write one line, in one call so that lines of several processes do not mix."""
        if self._render is None:
            self._render = self._renderer()
        line = self._render(None, str(event.get("level", "info")), dict(event))
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()

    def _renderer(self) -> Callable[..., Any]:
        import structlog  # with the first event: see gomr/logs.py

        if self._line_format == "json":
            return structlog.processors.JSONRenderer()
        return structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
