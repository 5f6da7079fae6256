"""The contract of a log sink: where log events go, and perhaps where they are read again."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any

from gomr.backends.finding import Finding
from gomr.errors import ConfigurationError


class LogSink(ABC):
    """Where log events go. An event is a flat mapping of JSON types; those of tasks carry job, stage, task, attempt."""

    takes_output = False
    """Whether it also wants what tasks write: one event `task.output` a line. Storage holds it in any case."""

    can_read = False
    """Whether `read` gives events back."""

    @abstractmethod
    def emit(self, event: Mapping[str, Any]) -> None:
        """Take one event. MUST NOT block on a network, and MUST NOT raise; safe for several threads."""

    def read(
        self,
        match: Mapping[str, str],  # noqa: ARG002 - of sinks that can read
        since_seconds: float,  # noqa: ARG002
    ) -> Iterator[Mapping[str, Any]]:
        """Yield the events of the last `since_seconds` whose fields equal those of `match`, oldest first.

        Raises UnavailableError, and ConfigurationError where it gives nothing back or a setting is missing.
        """
        raise ConfigurationError(f"{type(self).__name__}: this log sink gives nothing back")

    def diagnose(self) -> Iterator[Finding]:
        """Yield what `gomr doctor` is to say of this sink."""
        yield from ()

    def close(self, timeout_seconds: float) -> None:
        """Send what is still held, for at most `timeout_seconds`. Calling it twice MUST do nothing."""
