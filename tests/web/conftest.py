"""Fixtures: a served page, a browser that notes what it should not see, and jobs to look at."""

import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.conftest import JOBS, Gomr

WAIT_SECONDS = 120.0  # for what a loaded machine takes its time with
WAIT_MILLISECONDS = WAIT_SECONDS * 1000
CHROMIUM = "scripts/browser installs it; scripts/test does so by itself"


@dataclass
class Served:
    """A running `gomr web`: where it answers, and the process."""

    base: str
    process: "subprocess.Popen[bytes]"


def serve(gomr: Gomr, *arguments: object, port: int = 0) -> Served:
    """Start `gomr web` and wait until it says where it is."""
    process = gomr.start("web", "--port", port, *arguments)
    found = wait_for(lambda: re.search(r"http://\S+", gomr.output_of(process)), process)
    return Served(found[0].rstrip("/"), process)


def wait_for(look: Callable[[], Any], process: "subprocess.Popen[bytes] | None" = None) -> Any:
    """Return what `look` returns as soon as that is something."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not (found := look()):
        assert process is None or process.poll() is None, "the process has ended"
        assert time.monotonic() < deadline, "waited for nothing"
        time.sleep(0.05)
    return found


@dataclass
class Seen:
    """What a browser noted: errors, and requests to anywhere but the page's own server."""

    errors: list[str] = field(default_factory=list)
    strangers: list[str] = field(default_factory=list)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """The system's Chromium. Where there is none, the test fails."""
    program = os.environ.get("GOMR_CHROMIUM") or shutil.which("chromium")
    if not program:
        pytest.fail(f"no Chromium: {CHROMIUM}")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


OpenPage = Callable[..., Page]


@pytest.fixture
def seen() -> Seen:
    """What the pages of this test noted."""
    return Seen()


@pytest.fixture
def open_page(browser: Browser, seen: Seen) -> Iterator[OpenPage]:
    """Open a page at an address; `scheme` is light or dark. Its errors go to `seen`."""
    contexts = []

    def open_page(address: str, scheme: Any = "light", **options: Any) -> Page:
        context = browser.new_context(
            color_scheme=scheme, viewport={"width": 1280, "height": 900}, reduced_motion="reduce", **options
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(WAIT_MILLISECONDS)
        page.on("pageerror", lambda error: seen.errors.append(str(error)))
        page.on("console", lambda message: seen.errors.append(message.text) if message.type == "error" else None)
        host = address.partition("://")[2].partition("/")[0]
        page.on(
            "request",
            lambda request: None if host in request.url.split("/")[2:3] else seen.strangers.append(request.url),
        )
        page.goto(address)
        return page

    yield open_page
    for context in contexts:
        context.close()


def submit_gated(gomr: Gomr, lines: list[str], *arguments: object, gate: Path | None = None) -> str:
    """Submit a job whose map tasks, one a line, wait for `gate`; return its id."""
    text = gomr.folder / f"input-{len(list(gomr.folder.iterdir()))}.txt"
    text.write_text("".join(f"{line:<30}\n" for line in lines))
    param = ("--param", f"gate={gate}") if gate else ()
    return gomr("submit", JOBS / "gated.py", text, "--split-size", 31, *param, *arguments).stdout.strip()
