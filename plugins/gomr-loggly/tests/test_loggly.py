"""gomr-loggly against a loopback server that keeps Loggly's documented rules; and Loggly itself where it is set up."""

import os
import time
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest
from gomr_loggly import open_loggly
from loopback import API_TOKEN, PASSWORD, TOKEN, USERNAME, Loopback

import gomr.urls
from gomr.backends import FAILURE, OK, LogSink
from gomr.errors import ConfigurationError, UnavailableError
from gomr.logs import log
from gomr.testing import LogSinkConformance

REAL = {name: os.environ.get(name, "") for name in ("LOGGLY_TOKEN", "LOGGLY_ACCOUNT")}
CLOSE_SECONDS = 20.0


@pytest.fixture
def loopback(monkeypatch: pytest.MonkeyPatch) -> Iterator[Loopback]:
    for name in ("TOKEN", "ACCOUNT", "USERNAME", "PASSWORD", "API_TOKEN"):
        monkeypatch.delenv(f"LOGGLY_{name}", raising=False)
    monkeypatch.setenv("LOGGLY_TOKEN", TOKEN)
    monkeypatch.setenv("LOGGLY_USERNAME", USERNAME)
    monkeypatch.setenv("LOGGLY_PASSWORD", PASSWORD)
    server = Loopback()
    yield server
    server.stop()


def url_of(server: Loopback, options: str = "") -> str:
    return f"loggly://?endpoint={server.address}&read_endpoint={server.address}{options}"


def opened(server: Loopback, options: str = "") -> LogSink:
    return open_loggly(gomr.urls.parse(url_of(server, options)))


class TestLoopback(LogSinkConformance):
    @pytest.fixture
    def log_sink_url(self, loopback: Loopback) -> str:
        loopback.delay_seconds = 0.5
        return url_of(loopback)

    @pytest.fixture
    def unreachable_log_sink_url(self, loopback: Loopback) -> str:
        return "loggly://?endpoint=http://127.0.0.1:9"


@pytest.mark.skipif(not all(REAL.values()), reason="LOGGLY_TOKEN and LOGGLY_ACCOUNT are not set: not tried on Loggly")
class TestLoggly(LogSinkConformance):
    read_seconds: ClassVar[float] = 240.0

    @pytest.fixture
    def log_sink_url(self) -> str:
        return "loggly://?tag=gomr-test"


def test_batches_keep_the_limits(loopback: Loopback) -> None:
    sink = opened(loopback)
    for number in range(30):
        sink.emit({"event": "long", "number": number, "line": "ü" * 300_000})
    sink.close(CLOSE_SECONDS)
    assert not loopback.refusals
    assert [event["event"]["json"]["number"] for event in loopback.events] == list(range(30))
    assert loopback.requests > 1


def test_an_event_that_is_too_long_is_cut_and_says_so(loopback: Loopback) -> None:
    sink = opened(loopback)
    sink.emit({"event": "task.output", "job": "j", "line": "x" * 3_000_000})
    sink.close(CLOSE_SECONDS)
    assert not loopback.refusals
    (event,) = loopback.events
    assert event["event"]["json"]["job"] == "j"
    assert "cut: longer than" in event["event"]["json"]["line"]


def test_what_passes_is_tried_again(loopback: Loopback) -> None:
    loopback.failures = [503, 500, 429]
    sink = opened(loopback)
    sink.emit({"event": "one"})
    sink.close(60.0)
    assert [event["event"]["json"]["event"] for event in loopback.events] == ["one"]


def test_a_bad_token_is_said_once_and_stops_nobody(loopback: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGGLY_TOKEN", "wrong-token")
    said: list[Any] = []

    class Listener(LogSink):
        def emit(self, event: Any) -> None:
            said.append(event)

    sink = opened(loopback)
    log.configure([Listener()], "info")
    try:
        for _ in range(3):
            sink.emit({"event": "one"})
            time.sleep(0.01)
        sink.close(CLOSE_SECONDS)
        sink.emit({"event": "after"})
    finally:
        log.configure([], "error")
    (refused,) = [event for event in said if event["event"] == "loggly.refused"]
    assert "LOGGLY_TOKEN" in refused["error"]
    assert "wrong-token" not in str(said)
    assert loopback.requests == 1


def test_a_full_queue_drops_the_oldest_and_says_how_many(loopback: Loopback) -> None:
    sink = opened(loopback, "&held_events=10")
    with loopback.lock:  # the server does not answer, so that the queue fills up
        sink.emit({"event": "first"})
        time.sleep(2.5)
        for number in range(25):
            sink.emit({"event": "many", "number": number})
    sink.close(CLOSE_SECONDS)
    events = [event["event"]["json"] for event in loopback.events]
    assert events[0] == {"event": "first"}
    assert events[1] == {"event": "loggly.dropped", "level": "warning", "count": 15}
    assert [event["number"] for event in events[2:]] == list(range(15, 25))


def test_a_token_with_a_newline_is_used_without_it(loopback: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGGLY_TOKEN", f"{TOKEN}\n")
    sink = opened(loopback)
    sink.emit({"event": "one"})
    sink.close(CLOSE_SECONDS)
    assert len(loopback.events) == 1
    monkeypatch.setenv("LOGGLY_TOKEN", "two words")
    with pytest.raises(ConfigurationError, match="LOGGLY_TOKEN holds a space") as caught:
        opened(loopback)
    assert "two words" not in str(caught.value)


def test_broken_answers_end_nothing(loopback: Loopback) -> None:
    """An answer whose body breaks off, or that is no HTTP, is one more failure that may pass."""
    loopback.failures = [-1, -2]
    sink = opened(loopback)
    sink.emit({"event": "one"})
    sink.close(60.0)
    assert [event["event"]["json"]["event"] for event in loopback.events] == ["one"]


def test_memory_is_bounded_too(loopback: Loopback) -> None:
    sink = opened(loopback, "&held_bytes=1000000")
    with loopback.lock:
        sink.emit({"event": "first"})
        time.sleep(2.5)
        for number in range(30):
            sink.emit({"event": "long", "number": number, "line": "x" * 100_000})
    sink.close(CLOSE_SECONDS)
    events = [event["event"]["json"] for event in loopback.events]
    assert [event.get("number") for event in events] == [None, None, *range(21, 30)]
    assert events[1]["count"] == 21


def test_what_is_lost_at_the_end_is_said(loopback: Loopback) -> None:
    said: list[Any] = []

    class Listener(LogSink):
        def emit(self, event: Any) -> None:
            said.append(event)

    sink = opened(loopback)
    log.configure([Listener()], "info")
    try:
        with loopback.lock:
            for _ in range(3):
                sink.emit({"event": "one"})
            sink.close(0.1)
    finally:
        log.configure([], "error")
    (lost,) = [event for event in said if event["event"] == "loggly.lost"]
    assert lost["count"] == 3


def test_doctor_names_a_missing_token(loopback: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
    sink = opened(loopback)
    assert [finding.level for finding in sink.diagnose()] == [OK]
    sink.close(CLOSE_SECONDS)
    monkeypatch.delenv("LOGGLY_TOKEN")
    sink = opened(loopback)
    (finding,) = sink.diagnose()
    assert (finding.level, "LOGGLY_TOKEN is not set" in finding.detail) == (FAILURE, True)
    sink.close(CLOSE_SECONDS)


def test_pages_are_followed_to_the_end(loopback: Loopback) -> None:
    loopback.page_events = 7
    loopback.failures = []
    sink = opened(loopback)
    for number in range(30):
        sink.emit({"event": "x", "job": 'a "quoted" job', "number": number})
    sink.close(CLOSE_SECONDS)
    loopback.failures = [503, 504]
    found = [event["number"] for event in sink.read({"job": 'a "quoted" job'}, 60.0)]
    assert found == list(range(30))


@pytest.mark.parametrize("host", ["http://127.0.0.1:9", "http://127.[.0.1:9"])
def test_the_login_goes_to_the_account_alone(loopback: Loopback, host: str) -> None:
    loopback.page_events = 1
    loopback.next_host = host
    sink = opened(loopback)
    for _ in range(2):
        sink.emit({"event": "x", "job": "j"})
    sink.close(CLOSE_SECONDS)
    with pytest.raises(UnavailableError, match="another host"):
        list(sink.read({"job": "j"}, 60.0))


def test_an_api_token_will_do(loopback: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LOGGLY_USERNAME")
    monkeypatch.setenv("LOGGLY_API_TOKEN", API_TOKEN)
    assert list(opened(loopback).read({"job": "j"}, 60.0)) == []


def test_a_wrong_login_is_a_sentence(loopback: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGGLY_PASSWORD", "wrong-password")
    with pytest.raises(ConfigurationError, match="refuses the login") as caught:
        list(opened(loopback).read({"job": "j"}, 60.0))
    assert "wrong-password" not in str(caught.value)


def test_without_an_account_it_cannot_read(loopback: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
    sink = open_loggly(gomr.urls.parse(f"loggly://?endpoint={loopback.address}"))
    assert not sink.can_read
    with pytest.raises(ConfigurationError, match="LOGGLY_ACCOUNT"):
        list(sink.read({"job": "j"}, 60.0))
    sink.close(1.0)


@pytest.mark.parametrize("options", ["&tag=with space", "&tag=a/b", "&held_events=0", "&tries=x", "&endpoint=ftp://x"])
def test_wrong_options_are_refused(loopback: Loopback, options: str) -> None:
    with pytest.raises(ConfigurationError):
        opened(loopback, options)
