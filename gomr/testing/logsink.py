"""`LogSinkConformance`: what every log sink must do."""

import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

import pytest

from gomr.backends import LogSink
from gomr.errors import ConfigurationError
from gomr.plugins import Plugins
from gomr.testing.base import Conformance

CLOSE_SECONDS = 20.0
LATE_SECONDS_MAX = 10.0
MANY_EVENTS = 5000
ODD_EVENTS: tuple[Mapping[str, Any], ...] = (
    {},
    {"event": "plain"},
    {"event": "lines", "line": "one\ntwo\r\nthree\0four"},
    {"event": "unicode", "line": "ünïcödé 🗝 \ud800 unpaired"},
    {"event": "types", "number": 1.5, "flag": True, "nothing": None, "list": [1, {"a": 2}], "infinite": float("inf")},
    {"event": "no JSON", "object": object(), "bytes": b"\xff"},
    {"event": "long", "line": "x" * 3_000_000},
)


class LogSinkConformance(Conformance):
    """Override the fixture `log_sink_url`; and `unreachable_log_sink_url` where there is a server."""

    read_seconds: ClassVar[float] = 10.0
    """How long after it was sent an event may take to be read."""

    @pytest.fixture
    def log_sink_url(self) -> str:
        """Return the URL of the sink under test."""
        raise NotImplementedError("override the fixture log_sink_url")

    @pytest.fixture
    def unreachable_log_sink_url(self) -> str:
        """Return the URL of a server that is not there."""
        pytest.skip("no fixture unreachable_log_sink_url: this log sink has no server")

    @pytest.fixture
    def sink(self, log_sink_url: str) -> Iterator[LogSink]:
        """The sink under test."""
        sink = Plugins(self.plugins).open_log_sink(log_sink_url)
        yield sink
        sink.close(CLOSE_SECONDS)

    @pytest.mark.parametrize("event", ODD_EVENTS, ids=lambda event: str(event.get("event", "empty")))
    def test_odd_events_do_no_harm(self, sink: LogSink, log_sink_url: str, name: str, event: Mapping[str, Any]) -> None:
        sink.emit(event)
        self._check_works(sink, log_sink_url, name)

    def test_an_event_is_not_changed(self, sink: LogSink) -> None:
        event = {"event": "given", "job": "j", "line": "x"}
        sink.emit(event)
        assert event == {"event": "given", "job": "j", "line": "x"}

    def test_threads_may_send_at_once(self, sink: LogSink, log_sink_url: str, name: str) -> None:
        def send(number: int) -> None:
            for turn in range(50):
                sink.emit({"event": "turn", "job": f"{name}-threads", "line": f"{number} {turn}"})

        with ThreadPoolExecutor(8) as pool:
            for sent in [pool.submit(send, number) for number in range(8)]:
                sent.result()
        self._check_works(sink, log_sink_url, name)
        if sink.can_read:
            lines = [event["line"] for event in self._read(log_sink_url, f"{name}-threads", 400)]
            assert sorted(lines) == sorted(f"{number} {turn}" for number in range(8) for turn in range(50))

    def test_what_was_sent_is_read(self, sink: LogSink, log_sink_url: str, name: str) -> None:
        if not sink.can_read:
            pytest.skip("can_read = False: this sink gives nothing back")
        for number in range(25):
            task = {"job": name, "stage": "1-map", "task": number % 2}
            sink.emit({"event": "task.output", **task, "line": f'line "{number}"\nwith a second'})
        sink.emit({"event": "task.output", "job": f"{name}-other", "stage": "1-map", "task": 1, "line": "x"})
        sink.close(CLOSE_SECONDS)
        events = self._read(log_sink_url, name, 25)
        reader = Plugins(self.plugins).open_log_sink(log_sink_url)
        try:
            assert [event["line"] for event in events] == [f'line "{n}"\nwith a second' for n in range(25)]
            of_one = list(reader.read({"job": name, "stage": "1-map", "task": "1"}, 3600.0))
            assert len(of_one) == 12
            assert {event["job"] for event in of_one} == {name}
            assert not list(reader.read({"job": f"{name}-none"}, 3600.0))
        finally:
            reader.close(CLOSE_SECONDS)

    def test_a_server_that_is_not_there_holds_nobody_up(self, unreachable_log_sink_url: str) -> None:
        sink = Plugins(self.plugins).open_log_sink(unreachable_log_sink_url)
        started = time.monotonic()
        for number in range(MANY_EVENTS):
            sink.emit({"event": "many", "line": f"{number}" * 100})
        assert time.monotonic() - started < LATE_SECONDS_MAX
        started = time.monotonic()
        sink.close(1.0)
        assert time.monotonic() - started < 1.0 + LATE_SECONDS_MAX

    def test_an_unknown_option_is_refused(self, log_sink_url: str) -> None:
        joint = "&" if "?" in log_sink_url else "?"
        with pytest.raises(ConfigurationError, match="no-such-option"):
            Plugins(self.plugins).open_log_sink(f"{log_sink_url}{joint}no-such-option=1")

    def test_closing_twice_does_nothing(self, sink: LogSink) -> None:
        sink.close(CLOSE_SECONDS)
        sink.close(CLOSE_SECONDS)

    def _check_works(self, sink: LogSink, url: str, name: str) -> None:
        """Check that the sink still takes events: that one which is sent now is read, where it can be."""
        sink.emit({"event": "after", "job": name, "line": "still there"})
        sink.close(CLOSE_SECONDS)
        if sink.can_read:
            assert [event["line"] for event in self._read(url, name, 1)] == ["still there"]

    def _read(self, url: str, job: str, count: int) -> list[Mapping[str, Any]]:
        """Return the events of a job, as soon as there are `count`, or the time for it is over."""
        reader = Plugins(self.plugins).open_log_sink(url)
        try:
            deadline = time.monotonic() + self.read_seconds
            while len(events := list(reader.read({"job": job}, 3600.0))) < count and time.monotonic() < deadline:
                time.sleep(0.2)
            return events
        finally:
            reader.close(CLOSE_SECONDS)
