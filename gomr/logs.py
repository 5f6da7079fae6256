"""Sends gomr's own log events to the log sinks; context (job, stage, task, attempt, worker) is bound once."""

import logging
from collections.abc import Sequence
from typing import Any

import structlog

from gomr.backends import LogSink

CLOSE_SECONDS_MAX = 5.0  # for sinks to send what they hold when a process ends
LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


class _Dispatch:
    """The last processor of every event: hands it to the sinks."""

    def __init__(self, sinks: Sequence[LogSink]) -> None:
        self.sinks = sinks

    def __call__(self, _logger: Any, _method: str, event: Any) -> Any:
        for sink in self.sinks:
            sink.emit(event)
        raise structlog.DropEvent


def configure(sinks: Sequence[LogSink], level: str = "info") -> None:
    """Send events of at least `level` to every sink."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _Dispatch(sinks),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        cache_logger_on_first_use=False,
    )


def output_sinks() -> list[LogSink]:
    """Return the configured sinks that want what tasks write."""
    last = structlog.get_config()["processors"][-1]
    return [sink for sink in last.sinks if sink.takes_output] if isinstance(last, _Dispatch) else []


def close(sinks: Sequence[LogSink]) -> None:
    """Let every sink send what it holds."""
    for sink in sinks:
        sink.close(CLOSE_SECONDS_MAX)
