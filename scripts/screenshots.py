"""Makes a small cluster with jobs that are done, failed and live, and takes a picture of each page, light and dark."""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from playwright.sync_api import sync_playwright

JOB = '''"""Counts the visits of pages in a log; some lines take longer than others."""

import sys
import time

from gomr import count, param, total

params = {"seconds": 0.01}
reducer = total


def mapper(line):
    time.sleep(param("seconds") * (8 if line.startswith("0") else 1))
    number, page, status = line.split()
    if status not in ("200", "404"):
        raise ValueError(f"no status of HTTP: {status!r}")
    if status == "404":
        print("WARNING not found:", page, file=sys.stderr)
        count("not found")
    yield page, 1
'''
LINES = 6000
PAGE_MILLISECONDS = 2500  # for a page to draw itself: for looking at, not for a test
WIDTH, HEIGHT = 1280, 800


class Cluster:
    """The command line on a cluster in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {
            **os.environ,
            "HOME": str(folder),
            "GOMR_STORAGE": f"file://{folder}/storage",
            "GOMR_COORDINATOR": f"sqlite://{folder}/coordinator.db",
            "GOMR_CACHE_DIR": f"{folder}/cache",
        }

    def run(self, *arguments: object) -> str:
        """Run a command; return what it prints."""
        command = [sys.executable, "-m", "gomr.cli", *map(str, arguments)]
        done = subprocess.run(
            command, env=self.environment, cwd=self.folder, check=False, capture_output=True, text=True
        )
        return done.stdout.strip()

    def start(self, *arguments: object) -> "subprocess.Popen[str]":
        """Start a command that goes on."""
        command = [sys.executable, "-m", "gomr.cli", *map(str, arguments)]
        return subprocess.Popen(command, env=self.environment, cwd=self.folder, stderr=subprocess.PIPE, text=True)


def make_jobs(cluster: Cluster) -> dict[str, str]:
    """Run a job, fail one, and leave one at work; return their ids by what became of them, and the failed task."""
    good, bad = cluster.folder / "visits.log", cluster.folder / "broken.log"
    pages = [f"/page/{number * number % 97}" for number in range(LINES)]
    lines = [
        f"{number % 7 if number > 400 else 0} {page} {404 if number % 31 == 0 else 200}\n"
        for number, page in enumerate(pages)
    ]
    good.write_text("".join(lines))
    bad.write_text("".join([*lines[:900], "3 /page/1 2OO\n", *lines[900:1800]]))
    (cluster.folder / "visits.py").write_text(JOB)
    split, fast = ("--split-size", 2000), ("--param", "seconds=0.002")
    jobs = {}
    for state, source, arguments in (
        ("done", good, fast),
        ("failed", bad, fast),
        ("live", good, ("--param", "seconds=0.03")),
    ):
        wait = ("--wait",) if state != "live" else ()
        found = cluster.run("submit", "visits.py", source, *split, *arguments, *wait)
        jobs[state] = re.findall(r"visits-[0-9a-f]{12}", found)[0]
    jobs["task"] = json.loads(cluster.run("status", jobs["failed"], "--json"))["error"]["task"]
    return jobs


def take(base: str, jobs: Mapping[str, str], target: Path) -> None:
    """Take the pictures."""
    pages = {
        "jobs": "/",
        "job": f"/jobs/{jobs['done']}",
        "job-failed": f"/jobs/{jobs['failed']}",
        "job-live": f"/jobs/{jobs['live']}",
        "tasks": f"/jobs/{jobs['live']}/tasks?by=seconds",
        "timeline": f"/jobs/{jobs['done']}/timeline",
        "task": f"/jobs/{jobs['failed']}/tasks/{jobs['task']}",
        "logs": f"/jobs/{jobs['done']}/logs?level=warning",
        "workers": "/workers",
        "system": "/system",
    }
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=os.environ["GOMR_CHROMIUM"], args=["--no-sandbox"])
        for theme in ("light", "dark"):
            context = browser.new_context(color_scheme=theme, viewport={"width": WIDTH, "height": HEIGHT})  # type: ignore[arg-type]
            page = context.new_page()
            for name, path in pages.items():
                page.goto(base + path)
                page.wait_for_timeout(PAGE_MILLISECONDS)
                page.screenshot(path=target / f"{name}-{theme}.png")
            context.close()
        browser.close()


def main() -> None:
    """Take the pictures into the folder that is named."""
    target = Path(sys.argv[1]).absolute()
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="gomr-screenshots-") as name:
        cluster = Cluster(Path(name))
        started = [cluster.start("worker", "--slots", 4), cluster.start("worker", "--slots", 2)]
        try:
            jobs = make_jobs(cluster)
            web = cluster.start("web", "--port", 0)
            started.append(web)
            assert web.stderr
            found = re.search(r"http://\S+", web.stderr.readline())
            assert found
            time.sleep(3.0)  # for the live job to get on
            take(found[0].rstrip("/"), jobs, target)
        finally:
            for process in started:
                process.kill()
                process.wait()
    print(json.dumps({"pictures": len(list(target.glob("*.png"))), "folder": str(target)}))


if __name__ == "__main__":
    main()
