"""The page's API over HTTP, from a real process: what it answers, whom it turns away."""

import asyncio
import json
import re
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gomr.web.logs import _whole_characters
from gomr.web.stream import Channel
from tests.conftest import EXAMPLES, JOBS, Gomr
from tests.web.conftest import Served, serve, submit_gated, wait_for

ACTION = {"x-gomr-action": "1"}
HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture
def http() -> Iterator[httpx.Client]:
    """A client that waits as long as a loaded machine needs."""
    with httpx.Client(timeout=120) as client:
        yield client


def ran(gomr: Gomr, lines: list[str]) -> str:
    """Submit a job of these lines, work on it to its end, and return its id."""
    job = submit_gated(gomr, lines)
    gomr("worker", "--once", "--slots", 2, "--lease-seconds", 2)
    return job


def test_a_finished_job(gomr: Gomr, http: httpx.Client) -> None:
    job = ran(gomr, ["one two", "two three", "three four"])
    served = serve(gomr)
    api = f"{served.base}/api/jobs"
    (listed,) = http.get(api).json()["jobs"]
    assert (listed["job"], listed["state"], listed["input_bytes"]) == (job, "done", 93)
    assert [(stage["done"], stage["tasks"]) for stage in listed["stages"]] == [(3, 3), (1, 1)]
    facts = http.get(f"{api}/{job}").json()
    assert [edge["from"] for edge in facts["flow"]] == ["input", "map", "shuffle", "reduce"]
    assert [facts["flow"][number]["records"] for number in (0, 1, 3)] == [3, 6, 4]
    assert all(edge["bytes"] for edge in facts["flow"])
    assert facts["known_tasks"] == facts["done_tasks"] == 4
    assert facts["configuration"]["params"] == {"gate": ""}
    cells = http.get(f"{api}/{job}/cells/1-map").json()
    assert (cells["states"], cells["total"]) == (["done"] * 3, 3)
    page = http.get(f"{api}/{job}/tasks/1-map", params={"sort": "seconds", "count": 2}).json()
    assert (len(page["tasks"]), page["total"]) == (2, 3)
    assert page["tasks"][0]["seconds"] >= page["tasks"][1]["seconds"]
    task = http.get(f"{api}/{job}/tasks/1-map/1").json()
    assert (task["state"], task["records_in"], task["pieces"][0]["offset"]) == ("done", 1, 31)
    assert task["logs"] == [{"attempt": "1", "size": len(http.get(f"{api}/{job}/tasks/1-map/1/log/1").content)}]
    timeline = http.get(f"{api}/{job}/timeline").json()
    assert (timeline["shown"], timeline["total"], timeline["tasks"]) == (4, 4, 4)
    result = http.get(f"{api}/{job}/result").json()
    assert result["preview"] == "four\t1\none\t1\nthree\t2\ntwo\t2\n"
    assert http.get(f"{api}/{job}/result/0").text == result["preview"]
    assert any(event["ph"] == "X" for event in http.get(f"{api}/{job}/trace").json()["traceEvents"])
    assert http.get(f"{served.base}/healthz").text == "ok\n"
    assert 'gomr_jobs{state="done"} 1' in http.get(f"{served.base}/metrics").text


def test_the_report_stands_alone_and_escapes(gomr: Gomr, http: httpx.Client) -> None:
    job = ran(gomr, ["fine", f"boom{HOSTILE}"])
    served = serve(gomr)
    report = http.get(f"{served.base}/api/jobs/{job}/report").text
    assert HOSTILE not in report
    assert "boom&lt;img" in report
    assert "gated.py" in report
    assert not re.search(r"(src|href)=\"?http", report)
    facts = http.get(f"{served.base}/api/jobs/{job}").json()
    (group,) = facts["errors"]
    assert (group["count"], group["fatal"], group["tasks"]) == (4, True, ["1-map/1"])
    assert group["frame"].endswith("in mapper")
    assert http.get(f"{served.base}/api/jobs/{job}/result").status_code == 409


def test_logs_are_searched_page_by_page(gomr: Gomr, http: httpx.Client) -> None:
    job = ran(gomr, [f"line {number}" for number in range(70)])
    served = serve(gomr)
    found, cursor, answers = [], "", 0
    while True:
        query = {"q": "BEHIND", "level": "warning", "cursor": cursor}
        answer = http.get(f"{served.base}/api/jobs/{job}/logs", params=query).json()
        found += answer["lines"]
        answers += 1
        cursor = answer["next"]
        if not cursor:
            break
    assert answers == 2  # 64 logs an answer
    assert [line["task"] for line in found] == [f"1-map/{number}" for number in range(70)]
    one = http.get(f"{served.base}/api/jobs/{job}/logs", params={"task": "1-map/7"}).json()
    assert {line["task"] for line in one["lines"]} == {"1-map/7"}


def test_bad_questions_are_answered_in_words(gomr: Gomr, http: httpx.Client) -> None:
    job = ran(gomr, ["one"])
    base = serve(gomr).base
    for path, status in (
        ("/api/jobs/none-000000000000", 404),
        (f"/api/jobs/{job}/cells/9-map", 404),
        (f"/api/jobs/{job}/tasks/1-map/99", 404),
        (f"/api/jobs/{job}/tasks/1-map/0/log/9", 404),
        (f"/api/jobs/{job}/tasks/1-map?first=x", 400),
        (f"/api/jobs/{job}/tasks/1-map?sort=x", 400),
        (f"/api/jobs/{job}/timeline?from=x", 400),
        (f"/api/jobs/{job}/logs?level=x", 400),
        (f"/api/jobs/{job}/logs?cursor=x", 400),
        (f"/api/jobs/{job}/logs?cursor=1-map/0/1@x", 400),
        (f"/api/jobs/{job}/logs?task=1-map/{'9' * 5000}", 404),
        (f"/api/jobs/{job}/events?sink=nothing", 400),
        (f"/api/jobs/{job}/result/5", 404),
        ("/api/nothing", 404),
        ("/api/jobs/..%2f..", 404),
        ("/api/stream?job=x", 404),
        ("/api/stream?first=x", 400),
        (f"/api/jobs/{job}/logs?task=../3", 404),
        (f"/api/jobs/{job}/tasks/%2e%2e/0/log", 404),
        (f"/api/jobs/{job}/tasks/1-map/0/log/%2e%2e", 403),
    ):
        answer = http.get(base + path)
        assert answer.status_code == status, path
        assert len(answer.json()["error"]) > 10


def test_actions(gomr: Gomr, http: httpx.Client, tmp_path: Path) -> None:
    base = serve(gomr).base
    job = submit_gated(gomr, ["one", "two"], gate=tmp_path / "never")
    url = f"{base}/api/jobs/{job}"
    assert http.post(f"{url}/cancel").status_code == 403  # a page of another site could send this
    assert http.post(f"{url}/cancel", headers={**ACTION, "origin": "http://evil.example"}).status_code == 403
    assert http.get(url).json()["state"] == "running"
    for action, state in (("pause", "paused"), ("resume", "running"), ("cancel", "cancelled"), ("rerun", "running")):
        assert http.post(f"{url}/{action}", headers=ACTION).status_code == 200
        assert http.get(url).json()["state"] == state
    assert http.post(f"{url}/resume", headers=ACTION).status_code == 200
    assert http.post(f"{url}/explode", headers=ACTION).status_code == 404
    read_only = serve(gomr, "--read-only").base
    assert http.post(f"{read_only}/api/jobs/{job}/cancel", headers=ACTION).status_code == 403
    assert http.get(f"{read_only}/api/session").json()["read_only"] is True


def test_a_worker_is_drained(gomr: Gomr, http: httpx.Client) -> None:
    base = serve(gomr).base
    worker = gomr.worker()
    (found,) = wait_for(lambda: http.get(f"{base}/api/workers").json()["workers"])
    assert (found["pid"], found["draining"]) == (worker.pid, False)
    assert found["memory_bytes"] > 0
    assert found["plugins"]
    assert http.post(f"{base}/api/workers/{found['worker']}/drain", headers=ACTION).status_code == 200
    assert worker.wait(120) == 0
    assert http.post(f"{base}/api/workers/{found['worker']}/drain", headers=ACTION).status_code == 404


def test_who_may_come_in(gomr: Gomr, http: httpx.Client) -> None:
    refused = gomr("web", "--host", "0.0.0.0", status=3)
    assert "--token" in refused.stderr
    gomr.environment["GOMR_WEB_TOKEN"] = "s3same"
    process = gomr.start("web", "--host", "0.0.0.0", "--port", 0, "--token")
    port = wait_for(lambda: re.search(r":(\d+)/\?token=s3same", gomr.output_of(process)), process)[1]
    base = f"http://127.0.0.1:{port}"
    assert http.get(f"{base}/healthz").status_code == 200
    for path in ("/", "/api/jobs", "/metrics", "/static/app.js"):
        assert http.get(base + path).status_code == 401, path
        assert http.get(f"{base}{path}?token=wrong").status_code == 401
    assert http.get(f"{base}/api/jobs", headers={"authorization": "Bearer s3same"}).status_code == 200
    welcome = http.get(f"{base}/jobs?state=done&token=s3same")
    assert (welcome.status_code, welcome.headers["location"]) == (303, "/jobs?state=done")
    assert "s3same" not in welcome.headers["set-cookie"]
    assert "httponly" in welcome.headers["set-cookie"].lower()
    assert http.get(f"{base}/api/jobs").status_code == 200  # by the cookie
    cookie = welcome.headers["set-cookie"].partition(";")[0]
    beside = {"cookie": f'flag; foo={{"a":1}}; x@y=1; {cookie}'}  # of other programs on this host
    with httpx.Client() as other:
        assert other.get(f"{base}/api/jobs", headers=beside).status_code == 200
        for path in ("/api/jobs", "/api/jobs/x-000000000000"):
            assert other.get(base + path, headers={"host": "a/healthz?"}).status_code == 401
    assert http.post(f"{base}/api/jobs/x-000000000000/cancel").status_code == 403


def test_other_names_of_this_machine_are_refused(gomr: Gomr, http: httpx.Client) -> None:
    base = serve(gomr).base
    assert http.get(f"{base}/api/jobs", headers={"host": "evil.example"}).status_code == 421
    answer = http.get(base)
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_the_api_is_described(gomr: Gomr, http: httpx.Client) -> None:
    job = ran(gomr, ["one"])
    base = serve(gomr).base
    described = http.get(f"{base}/api/openapi.json").json()
    values = {"job": job, "stage": "1-map", "index": "0", "attempt": "1", "part": "0", "worker": "none"}
    for path, methods in described["paths"].items():
        if path == "/api/stream":
            continue
        address = re.sub(r"\{(\w+)\}", lambda found: values[found[1]], path)
        for method, facts in methods.items():
            answer = http.request(method, base + address, headers=ACTION)
            assert str(answer.status_code) in facts["responses"], (method, path, answer.status_code)
            if answer.status_code == 200:
                kinds = facts["responses"]["200"]["content"]
                assert answer.headers["content-type"].split(";")[0] in kinds, path


def stream(http: httpx.Client, address: str) -> Iterator[tuple[str, dict[str, object]]]:
    """Yield the events of a stream."""
    with http.stream("GET", address) as answer:
        kind = ""
        for line in answer.iter_lines():
            if line.startswith("event: "):
                kind = line.removeprefix("event: ")
            elif line.startswith("data: "):
                yield kind, json.loads(line.removeprefix("data: "))


def test_the_stream_tells_of_changes_and_of_what_is_gone(gomr: Gomr, http: httpx.Client) -> None:
    base = serve(gomr).base
    job = submit_gated(gomr, ["one", "two"])
    events = stream(http, f"{base}/api/stream?job={job}")
    kind, facts = next(events)
    assert (kind, facts["state"]) == ("state", "running")
    gomr.worker("--once")
    while facts["state"] != "done":
        kind, facts = next(events)
    gomr("rm", job)
    assert next(event for event in events if event[0] == "gone")


def test_it_may_be_told_to_stop_while_browsers_listen(gomr: Gomr, http: httpx.Client) -> None:
    served: Served = serve(gomr)
    events = stream(http, f"{served.base}/api/stream")
    assert next(events)[0] == "state"
    served.process.send_signal(signal.SIGTERM)
    served.process.wait(120)
    assert "Traceback" not in gomr.output_of(served.process)


def test_a_taken_port_is_told_of(gomr: Gomr) -> None:
    port = serve(gomr).base.rpartition(":")[2]
    refused = gomr("web", "--port", port, status=5)
    assert f"port {port}" in refused.stderr
    assert "--port" in refused.stderr


def test_top_shows_live_jobs_and_workers(gomr: Gomr, tmp_path: Path) -> None:
    gomr("run", EXAMPLES / "wordcount.py", JOBS / "raises.py", "-o", "out.tsv")
    job = submit_gated(gomr, ["one"], gate=tmp_path / "never")
    shown = gomr("top")
    assert job in shown.stdout
    assert "1 done, 1 running" in shown.stderr
    facts = json.loads(gomr("top", "--json").stdout)
    assert [item["job"] for item in facts["jobs"]] == [job]
    assert facts["workers"] == []


def test_events_of_a_log_sink(gomr: Gomr, http: httpx.Client) -> None:
    gomr.environment["GOMR_LOGS"] = f"shelf://{gomr.folder}/events.db"
    gomr.environment["GOMR_LOG_LEVEL"] = "info"
    job = ran(gomr, ["one", "two"])
    base = serve(gomr).base
    assert http.get(f"{base}/api/session").json()["sinks"] == ["shelf"]
    events = http.get(f"{base}/api/jobs/{job}/events", params={"sink": "shelf", "task": "1-map/1"}).json()["events"]
    assert {event["task"] for event in events} == {1}
    assert any("behind the gate" in event.get("line", "") for event in events)


def test_a_fault_of_the_page_is_said_and_not_the_end_of_a_stream() -> None:
    answers = iter([{"state": "old"}, KeyError("x"), {"state": "new"}])

    def ask() -> object:
        answer = next(answers, {"state": "new"})
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def listen() -> list[bytes]:
        frames = Channel(ask).frames()
        heard: list[bytes] = []
        async for frame in frames:
            heard.append(frame)
            if b"new" in frame:
                await frames.aclose()  # type: ignore[attr-defined] # it is a generator
                return heard
        raise AssertionError("the stream has ended")

    with ThreadPoolExecutor(1) as elsewhere:  # a browser's tests leave this thread with a running event loop
        heard = elsewhere.submit(asyncio.run, listen()).result()
    kinds = [frame.partition(b"\n")[0] for frame in heard]
    assert kinds == [b"retry: 1000", b"event: state", b"event: trouble", b"event: state"]


@given(text=st.text(max_size=8), at=st.integers(0, 40))
def test_a_piece_of_a_log_ends_at_a_character(text: str, at: int) -> None:
    data = text.encode("utf-8", "surrogatepass")[:at]
    whole = _whole_characters(data)
    assert data.startswith(whole)
    assert len(data) - len(whole) < 4
    assert whole.decode("utf-8", "surrogatepass") == text[: len(whole.decode("utf-8", "surrogatepass"))]
