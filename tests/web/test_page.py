"""The page itself, in a browser, on a real cluster of etcd and S3."""

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import axe_playwright_python
import pytest
from playwright.sync_api import Page, expect

from gomr.playground.etcd import EtcdServer
from tests.conftest import LEASE_SECONDS, Gomr
from tests.web.conftest import WAIT_MILLISECONDS, OpenPage, Seen, serve, submit_gated, wait_for

AXE = Path(axe_playwright_python.__file__).with_name("axe.min.js")
expect.set_options(timeout=WAIT_MILLISECONDS)


@pytest.fixture
def cluster_gomr(environment: dict[str, str], tmp_path: Path, s3_url: str, etcd_url: str) -> Iterator[Gomr]:
    """The command line on a cluster of its own in the real servers."""
    runner = Gomr({**environment, "GOMR_STORAGE": s3_url, "GOMR_COORDINATOR": etcd_url}, tmp_path)
    yield runner
    runner.end()


def violations(page: Page) -> list[str]:
    """Return what axe-core finds wrong with the page as it is."""
    page.evaluate(AXE.read_text())
    found: dict[str, Any] = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [f"{item['id']}: {[node['html'][:120] for node in item['nodes']]}" for item in found["violations"]]


def cli_jobs(gomr: Gomr) -> dict[str, str]:
    return {item["job"]: item["state"] for item in json.loads(gomr("jobs", "--json").stdout)}


def test_progress_is_live_and_a_job_is_cancelled(
    cluster_gomr: Gomr, open_page: OpenPage, seen: Seen, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    page = open_page(serve(cluster_gomr).base)
    expect(page.get_by_text("No job yet")).to_be_visible()
    job = submit_gated(cluster_gomr, ["one", "two", "three"], gate=gate)
    row = page.get_by_role("row").filter(has_text=job)
    expect(row).to_contain_text("running")
    expect(page.get_by_text("No worker is alive")).to_be_visible()
    cluster_gomr.worker("--slots", 1)
    expect(row.get_by_role("img", name="1-map: 0 of 3 done, 2 running")).to_be_visible()  # one of them is in hand ahead
    gate.touch()
    expect(row).to_contain_text("done")
    expect(row.get_by_role("img", name="1-map: 3 of 3 done")).to_be_visible()
    second = submit_gated(cluster_gomr, ["one"], gate=tmp_path / "never")
    page.get_by_role("link", name=second).click()
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    expect(page.locator("main .state").first).to_have_text("⊘cancelled")
    assert cli_jobs(cluster_gomr)[second] == "cancelled"
    assert (seen.errors, seen.strangers) == ([], [])


def test_the_cause_of_a_failure_is_two_clicks_away(cluster_gomr: Gomr, open_page: OpenPage, seen: Seen) -> None:
    job = submit_gated(cluster_gomr, ["fine", "boom <script>"], "--max-attempts", 1)
    cluster_gomr("worker", "--once", "--lease-seconds", LEASE_SECONDS)
    page = open_page(serve(cluster_gomr).base)
    page.get_by_role("link", name=job).click()
    why = page.get_by_role("region", name="Why it failed")
    expect(why).to_contain_text("ValueError: cannot parse")
    why.get_by_role("link", name="Task 1-map/1").click()
    expect(page).to_have_url(f"{page.url.partition('/jobs')[0]}/jobs/{job}/tasks/1-map/1")
    expect(page.get_by_role("region", name="Why it failed")).to_contain_text("gated.py")
    expect(page.get_by_role("region", name="Why it failed")).to_contain_text("record 1 of")
    expect(page.get_by_role("region", name="Why it failed")).to_contain_text("boom <script>")
    assert (seen.errors, seen.strangers) == ([], [])


def test_a_log_is_followed_and_is_never_markup(cluster_gomr: Gomr, open_page: OpenPage, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    job = submit_gated(cluster_gomr, ["one two"], gate=gate)
    cluster_gomr.worker("--slots", 1)
    page = open_page(f"{serve(cluster_gomr).base}/jobs/{job}/tasks/1-map/0")
    log = page.get_by_role("log")
    expect(log).to_contain_text("INFO at <b>the gate</b> with one two")
    assert log.locator("b").count() == 0
    gate.touch()
    expect(log).to_contain_text("WARNING behind the gate")
    page.get_by_label("Search").fill("BEHIND")
    expect(log.locator(".hit")).to_have_text("behind")
    expect(log).not_to_contain_text("with one two")
    expect(page.get_by_role("link", name="Download")).to_be_visible()


def test_the_page_comes_back_with_its_server(cluster_gomr: Gomr, open_page: OpenPage, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    job = submit_gated(cluster_gomr, ["one", "two"], gate=gate)
    cluster_gomr.worker("--slots", 2)
    served = serve(cluster_gomr)
    page = open_page(f"{served.base}/jobs/{job}")
    expect(page.get_by_role("img", name="2 running")).to_be_visible()
    served.process.send_signal(signal.SIGKILL)
    served.process.wait()
    expect(page.get_by_text("Not up to date.")).to_be_visible()
    gate.touch()  # the job goes on without the page
    wait_for(lambda: cli_jobs(cluster_gomr)[job] == "done")
    serve(cluster_gomr, port=int(served.base.rpartition(":")[2]))
    expect(page.locator("main .state").first).to_have_text("●done")
    expect(page.get_by_text("Not up to date.")).to_have_count(0)


def test_it_says_that_etcd_is_down_and_recovers(
    environment: dict[str, str], tmp_path: Path, s3_url: str, own_etcd: EtcdServer, open_page: OpenPage
) -> None:
    gomr = Gomr({**environment, "GOMR_STORAGE": s3_url, "GOMR_COORDINATOR": own_etcd.url}, tmp_path)
    try:
        job = submit_gated(gomr, ["one"], gate=tmp_path / "never")
        page = open_page(serve(gomr).base)
        expect(page.get_by_role("link", name=job)).to_be_visible()
        own_etcd.stop()
        expect(page.get_by_text("The cluster does not answer")).to_be_visible()
        expect(page.get_by_role("link", name=job)).to_be_visible()  # what was known stays
        own_etcd.start()
        expect(page.get_by_text("The cluster does not answer")).to_have_count(0)
        gomr("cancel", job)
        expect(page.get_by_role("row").filter(has_text=job)).to_contain_text("cancelled")
    finally:
        gomr.end()


def test_all_is_there_when_every_worker_is_gone(cluster_gomr: Gomr, open_page: OpenPage, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    job = submit_gated(cluster_gomr, ["one", "two"], gate=gate)
    first = cluster_gomr.worker("--slots", 2)
    running: Callable[[], bool] = lambda: "2 running" in cluster_gomr("status", job).stdout  # noqa: E731
    wait_for(running)
    _kill_with_tasks(first)
    gate.touch()
    cluster_gomr("worker", "--once", "--lease-seconds", LEASE_SECONDS)
    served = serve(cluster_gomr)
    page = open_page(f"{served.base}/jobs/{job}/timeline")
    expect(page.get_by_text("5 of 5 attempts shown")).to_be_visible()  # two lost, their second ones, the reduce
    served.process.kill()
    served.process.wait()
    page = open_page(f"{serve(cluster_gomr).base}/jobs/{job}/tasks/1-map/0")
    attempts = page.get_by_role("region", name="Attempts")
    expect(attempts).to_contain_text("lost")
    expect(attempts.get_by_role("row")).to_have_count(3)
    expect(page.get_by_role("log")).to_contain_text("behind the gate")


def _kill_with_tasks(worker: "subprocess.Popen[bytes]") -> None:
    """Kill a worker, as a machine that loses power does; its job processes end with it."""
    os.kill(worker.pid, signal.SIGKILL)
    worker.wait()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_for_everybody(
    cluster_gomr: Gomr, open_page: OpenPage, seen: Seen, scheme: str, tmp_path: Path
) -> None:
    done = submit_gated(cluster_gomr, ["one", "two"])
    failed = submit_gated(cluster_gomr, ["fine", "boom"], "--max-attempts", 1)
    cluster_gomr("worker", "--once", "--lease-seconds", LEASE_SECONDS)
    live = submit_gated(cluster_gomr, ["one", "two", "three"], gate=tmp_path / "never")
    cluster_gomr.worker("--slots", 1)
    base = serve(cluster_gomr).base
    page = open_page(base, scheme)
    for path, shown in (
        ("/", failed),
        (f"/jobs/{done}", "Take it along"),
        (f"/jobs/{failed}", "Why it failed"),
        (f"/jobs/{live}", "Data flow"),
        (f"/jobs/{done}/tasks", "Quantiles"),
        (f"/jobs/{failed}/tasks/1-map/1", "cannot parse"),
        (f"/jobs/{done}/timeline", "attempts shown"),
        (f"/jobs/{done}/logs", "behind the gate"),
        ("/workers", "Drain"),
        ("/system", "etcd://"),
        ("/nowhere", "Nothing is here"),
    ):
        page.goto(base + path)
        expect(page.get_by_text(shown).first).to_be_visible()
        assert violations(page) == [], f"{path} {scheme}"
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
    page.set_viewport_size({"width": 380, "height": 800})
    for path in ("/", f"/jobs/{failed}", f"/jobs/{done}/tasks", f"/jobs/{done}/timeline", "/workers", "/system"):
        page.goto(base + path)
        expect(page.get_by_role("heading").first).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
    assert (seen.errors, seen.strangers) == ([], [])


def test_dark_mode_reaches_canvases(cluster_gomr: Gomr, open_page: OpenPage) -> None:
    job = submit_gated(cluster_gomr, ["one", "two"])
    cluster_gomr("worker", "--once", "--lease-seconds", LEASE_SECONDS)
    base = serve(cluster_gomr).base
    brightest = """() => {
        const canvas = document.querySelector('.plot canvas');
        const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
        let most = 0;  // of the grey pixels: the text and the lines of the axes
        for (let at = 0; at < data.length; at += 4) {
            const [red, green, blue, alpha] = data.slice(at, at + 4);
            if (alpha > 250 && Math.abs(red - green) < 24 && Math.abs(green - blue) < 24) most = Math.max(most, red);
        }
        return most;
    }"""
    light, dark = open_page(f"{base}/jobs/{job}"), open_page(f"{base}/jobs/{job}", "dark")
    for page in (light, dark):
        expect(page.locator(".plot canvas").first).to_be_visible()
    assert wait_for(lambda: dark.evaluate(brightest)) > 150
    dark.get_by_role("button", name="Theme: system").click()
    expect(dark.get_by_role("button", name="Theme: light")).to_be_visible()
    assert dark.evaluate("getComputedStyle(document.body).backgroundColor") == light.evaluate(
        "getComputedStyle(document.body).backgroundColor"
    )


def test_the_keyboard_reaches_tasks_and_attempts(cluster_gomr: Gomr, open_page: OpenPage) -> None:
    job = submit_gated(cluster_gomr, ["one", "two", "three"])
    cluster_gomr("worker", "--once", "--lease-seconds", LEASE_SECONDS)
    base = serve(cluster_gomr).base
    page = open_page(f"{base}/jobs/{job}/tasks?stage=1-map")
    cells = page.get_by_role("application")
    cells.focus()
    page.keyboard.press("End")
    expect(page.locator("#cell")).to_contain_text("1-map/2: done")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Task 1-map/1")).to_be_visible()
    page.go_back()
    expect(page.get_by_role("heading", name="All tasks of 1-map")).to_be_visible()
    page.goto(f"{base}/jobs/{job}/timeline")
    page.get_by_role("application").focus()
    page.keyboard.press("+")
    page.wait_for_url("**/timeline?from=*")
    page.keyboard.press("0")
    page.wait_for_url("**/timeline")
    expect(page.get_by_text("4 of 4 attempts shown")).to_be_visible()  # what is asked for anew has come
    page.keyboard.press("ArrowDown")
    expect(page.locator("#bar")).to_contain_text("attempt 1, done")


def test_a_job_that_is_not_there_is_said(cluster_gomr: Gomr, open_page: OpenPage) -> None:
    base = serve(cluster_gomr).base
    for path, said in (
        ("/jobs/wordcount", "is not the id of a job"),
        ("/jobs/wordcount-000000000000", "no job"),
        ("/jobs/%E0%A4%A", "is not the id of a job"),
    ):
        page = open_page(base + path)
        expect(page.get_by_role("alert")).to_contain_text(said)
        page.get_by_role("link", name="Workers").click()
        expect(page.get_by_role("heading", name="Workers")).to_be_visible()
        expect(page.get_by_text("Not up to date.")).to_have_count(0)


def test_filters_live_in_the_address(cluster_gomr: Gomr, open_page: OpenPage) -> None:
    kept = submit_gated(cluster_gomr, ["one"], "--name", "kept")
    other = submit_gated(cluster_gomr, ["one"], "--name", "other")
    cluster_gomr("cancel", other)
    base = serve(cluster_gomr).base
    page = open_page(base)
    expect(page.get_by_role("link", name=other)).to_be_visible()
    page.get_by_label("Search").fill("KEPT")
    page.wait_for_url("**/?q=KEPT")
    expect(page.get_by_role("link", name=other)).to_have_count(0)
    expect(page.get_by_role("link", name=kept)).to_be_visible()
    page = open_page(f"{base}/?state=cancelled")
    expect(page.get_by_role("link", name=other)).to_be_visible()
    expect(page.get_by_role("link", name=kept)).to_have_count(0)
    expect(page.get_by_label("State")).to_have_value("cancelled")
