"""The addresses of the page, and what answers at each."""

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from gomr import results
from gomr.client import Client
from gomr.errors import ConfigurationError, CoordinatorError, GomrError, NotFoundError, StorageError, UsageError
from gomr.urls import parse
from gomr.web import metrics
from gomr.web.answers import Ask, answered, broken, checked_job, download, job_of, number, refused, seconds, task_name
from gomr.web.guard import Access, Guard
from gomr.web.logs import LEVELS, Logs
from gomr.web.report import report
from gomr.web.shared import Shared
from gomr.web.stream import STREAMS_MAX, Channels
from gomr.web.system import system
from gomr.web.view import CELLS_MAX, JOBS_MAX, TASKS_MAX, View

SYSTEM_SECONDS = 10.0
PREVIEW_BYTES = 64 * 1024
LOOKBACK_SECONDS = 86400.0  # of a log sink
ACTIONS = ("cancel", "pause", "resume", "rerun")
GZIP_BYTES_MIN = 1024


class Pages:
    """The handlers: each asks the view in a thread, and answers with JSON."""

    def __init__(self, client: Client, access: Access) -> None:
        self._client = client
        self._access = access
        self._view = View(client)
        self._logs = Logs(client)
        self._system = Shared(lambda: system(client), SYSTEM_SECONDS)
        self._channels = Channels()

    def routes(self) -> list[Route]:
        """Return the addresses below /api, and those of machines."""
        job, task = "/api/jobs/{job}", "/api/jobs/{job}/tasks/{stage}/{index:int}"
        asked: list[tuple[str, Ask]] = [
            ("/api/jobs", self._jobs),
            (job, lambda request: self._view.job(job_of(request))),
            (f"{job}/cells/{{stage}}", self._cells),
            (f"{job}/tasks/{{stage}}", self._tasks),
            (task, self._task),
            (f"{task}/log", self._log),
            (f"{job}/timeline", self._timeline),
            (f"{job}/logs", self._search),
            (f"{job}/events", self._events),
            (f"{job}/result", self._result),
            ("/api/workers", lambda _: self._view.workers()),
            ("/api/system", lambda _: self._system.get()),
            ("/api/session", self._session),
        ]
        return [
            *(Route(path, answered(ask)) for path, ask in asked),
            Route("/api/stream", self._stream),
            Route("/api/openapi.json", lambda _: Response(_static("openapi.json"), media_type="application/json")),
            Route(f"{job}/trace", self._trace),
            Route(f"{job}/report", self._report),
            Route(f"{job}/result/{{part:int}}", self._part),
            Route(f"{task}/log/{{attempt}}", self._whole_log),
            Route(f"{job}/{{action}}", answered(self._act), methods=["POST"]),
            Route("/api/workers/{worker}/drain", answered(self._drain), methods=["POST"]),
            Route("/metrics", self._metrics),
            Route("/healthz", self._health),
        ]

    def _session(self, _request: Request) -> Any:
        sinks = [parse(url).scheme for url in self._client.config.items("logs") or []]
        readable = [scheme for scheme in sinks if scheme != "console"]
        return {"read_only": self._access.read_only, "levels": LEVELS, "sinks": readable}

    def _jobs(self, request: Request) -> Any:
        asked = request.query_params
        first, count = number(request, "first", 0), number(request, "count", 50, JOBS_MAX)
        return self._view.jobs(asked.get("state", ""), asked.get("q", ""), first, count)

    def _cells(self, request: Request) -> Any:
        first, count = number(request, "first", 0), number(request, "count", CELLS_MAX, CELLS_MAX)
        return self._view.cells(job_of(request), request.path_params["stage"], first, count)

    def _tasks(self, request: Request) -> Any:
        asked = request.query_params
        first, count = number(request, "first", 0), number(request, "count", 50, TASKS_MAX)
        job, stage = job_of(request), request.path_params["stage"]
        return self._view.tasks(job, stage, asked.get("state", ""), asked.get("sort", ""), first, count)

    def _task(self, request: Request) -> Any:
        job, stage, index = job_of(request), request.path_params["stage"], request.path_params["index"]
        found = self._view.task(job, stage, index)
        return {**found, "logs": self._logs.attempts(job, f"{stage}/{index}")}

    def _log(self, request: Request) -> Any:
        asked = request.query_params
        since = -1 if "since" not in asked else number(request, "since", 0)
        attempt, follow = asked.get("attempt", "1"), asked.get("follow") == "1"
        return self._logs.read(job_of(request), task_name(request), attempt, since, follow=follow)

    def _timeline(self, request: Request) -> Any:
        return self._view.timeline(job_of(request), seconds(request, "from"), seconds(request, "to"))

    def _search(self, request: Request) -> Any:
        asked = request.query_params
        level = asked.get("level", "")
        if level and level not in LEVELS:
            raise UsageError(f"level={level}: it is one of {', '.join(LEVELS)}")
        job = job_of(request)
        return self._logs.search(job, asked.get("q", ""), level, asked.get("task", ""), asked.get("cursor", ""))

    def _events(self, request: Request) -> Any:
        asked = request.query_params
        since = seconds(request, "since") or LOOKBACK_SECONDS
        sink = asked.get("sink", "loggly")
        configured = [parse(url).scheme for url in self._client.config.items("logs") or []]
        if sink not in configured:
            raise ConfigurationError(f"{sink} is not among the log sinks of this page: {', '.join(configured)}")
        return self._logs.events(job_of(request), asked.get("task", ""), sink, since)

    def _result(self, request: Request) -> Any:
        parts = results.parts(self._client.cluster, job_of(request))
        shown = number(request, "preview", 0)
        preview = ""
        if shown < len(parts):
            data = self._client.cluster.storage.read(parts[shown].key, 0, min(PREVIEW_BYTES, parts[shown].size))
            preview = data.decode("utf-8", "replace")
        return {
            "parts": [{"part": number, "size": part.size} for number, part in enumerate(parts[:JOBS_MAX])],
            "total": len(parts),
            "bytes": sum(part.size for part in parts),
            "preview": preview,
            "is_partial": shown < len(parts) and parts[shown].size > PREVIEW_BYTES,
        }

    def _act(self, request: Request) -> Any:
        job, action = job_of(request), request.path_params["action"]
        if action not in ACTIONS:
            raise NotFoundError(f"there is no action {action!r}; there are {', '.join(ACTIONS)}")
        state = getattr(self._client, action)(job)
        self._view.forget(job)
        return {"job": job, "action": action, "state": state}

    def _drain(self, request: Request) -> Any:
        self._client.drain(request.path_params["worker"])
        return {"worker": request.path_params["worker"], "action": "drain"}

    async def _stream(self, request: Request) -> Response:
        if self._channels.listeners >= STREAMS_MAX:
            return JSONResponse({"error": f"{STREAMS_MAX} streams are open already"}, 503)
        if "job" in request.query_params:
            job = checked_job(request.query_params["job"])
            channel = self._channels.get(f"job {job}", lambda: self._view.job(job))
        else:
            state, text = request.query_params.get("state", ""), request.query_params.get("q", "")
            first = number(request, "first", 0)
            name = f"jobs {state} {text} {first}"
            channel = self._channels.get(name, lambda: self._view.jobs(state, text, first))
        return StreamingResponse(
            channel.frames(),
            media_type="text/event-stream",
            headers={"cache-control": "no-store", "x-accel-buffering": "no"},
        )

    async def _trace(self, request: Request) -> Response:
        job = job_of(request)
        return await download(
            lambda: iter([json.dumps(self._view.trace(job)).encode()]), f"{job}.trace.json", "application/json"
        )

    async def _report(self, request: Request) -> Response:
        job = job_of(request)
        return await download(lambda: iter([report(*self._view.everything(job)).encode()]), f"{job}.html", "text/html")

    async def _part(self, request: Request) -> Response:
        job, part = job_of(request), request.path_params["part"]

        def begin() -> Iterator[bytes]:
            parts = results.parts(self._client.cluster, job)
            if part >= len(parts):
                raise NotFoundError(f"the result of {job} has {len(parts)} parts")
            return results.read_part(self._client.cluster, parts[part])

        return await download(begin, f"{job}-{part}", "application/octet-stream")

    async def _whole_log(self, request: Request) -> Response:
        job, attempt, task = job_of(request), request.path_params["attempt"], task_name(request)
        name = f"{job}-{task.replace('/', '-')}-{attempt}.log"
        return await download(lambda: self._logs.download(job, task, attempt), name, "text/plain; charset=utf-8")

    async def _health(self, _request: Request) -> Response:
        return PlainTextResponse("ok\n")  # in the event loop: it answers while every thread waits for a back end

    async def _metrics(self, _request: Request) -> Response:
        def ask() -> str:
            try:
                jobs, workers = self._view.live_jobs(metrics.JOBS_MAX), self._view.workers()["workers"]
            except (GomrError, CoordinatorError, StorageError):
                return metrics.down()
            return metrics.metrics(jobs, workers, self._channels.listeners)

        return PlainTextResponse(await run_in_threadpool(ask), media_type=metrics.CONTENT_TYPE)


def make_app(client: Client, access: Access) -> Starlette:
    """Return the application: for `gomr web`, or to be mounted in a server of one's own."""
    page = _static("index.html")
    policy = _policy(page)

    async def index(_request: Request) -> Response:
        return HTMLResponse(page)

    static = Mount("/static", StaticFiles(packages=[("gomr.web", "static")]))
    pages = Pages(client, access)
    shell = [Route("/", index), Route("/{path:path}", index)]  # the page itself knows what its other addresses show
    return Starlette(
        routes=[static, *pages.routes(), Route("/api/{path:path}", _nothing), *shell],
        middleware=[
            Middleware(Guard, access=access, policy=policy),
            Middleware(GZipMiddleware, minimum_size=GZIP_BYTES_MIN),
        ],
        exception_handlers={
            **dict.fromkeys((GomrError, CoordinatorError, StorageError, OSError), refused),
            Exception: broken,
        },
    )


async def _nothing(request: Request) -> Response:
    return JSONResponse({"error": f"there is nothing at {request.url.path}; see /api/openapi.json"}, 404)


def _static(name: str) -> str:
    return files("gomr.web").joinpath("static", name).read_text(encoding="utf-8")


def _policy(page: str) -> str:
    """Return the content security policy: nothing from elsewhere, no script but the page's own files and import map."""
    found = re.search(r'<script type="importmap">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    digest = base64.b64encode(hashlib.sha256(found[1].encode()).digest()).decode()
    return (
        f"default-src 'none'; script-src 'self' 'sha256-{digest}'; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
