"""The addresses of the page, and what answers at each."""

import base64
import hashlib
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from importlib.resources import files
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import iterate_in_threadpool, run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from gomr import results
from gomr.client import Client
from gomr.errors import ConfigurationError, CoordinatorError, Denied, GomrError, NotFoundError, StorageError, UsageError
from gomr.model import RUNNING
from gomr.urls import parse
from gomr.web import metrics
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

Ask = Callable[[Request], Any]


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
            (job, lambda request: self._view.job(request.path_params["job"])),
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
            Route("/healthz", lambda _: PlainTextResponse("ok\n")),
        ]

    def _session(self, _request: Request) -> Any:
        sinks = [parse(url).scheme for url in self._client.config.items("logs") or []]
        readable = [scheme for scheme in sinks if scheme != "console"]
        return {"read_only": self._access.read_only, "levels": LEVELS, "sinks": readable}

    def _jobs(self, request: Request) -> Any:
        asked = request.query_params
        first, count = _number(request, "first", 0), _number(request, "count", 50, JOBS_MAX)
        return self._view.jobs(asked.get("state", ""), asked.get("q", ""), first, count)

    def _cells(self, request: Request) -> Any:
        first, count = _number(request, "first", 0), _number(request, "count", CELLS_MAX, CELLS_MAX)
        return self._view.cells(request.path_params["job"], request.path_params["stage"], first, count)

    def _tasks(self, request: Request) -> Any:
        asked = request.query_params
        first, count = _number(request, "first", 0), _number(request, "count", 50, TASKS_MAX)
        job, stage = request.path_params["job"], request.path_params["stage"]
        return self._view.tasks(job, stage, asked.get("state", ""), asked.get("sort", ""), first, count)

    def _task(self, request: Request) -> Any:
        job, stage, index = (request.path_params[name] for name in ("job", "stage", "index"))
        found = self._view.task(job, stage, index)
        return {**found, "logs": self._logs.attempts(job, f"{stage}/{index}")}

    def _log(self, request: Request) -> Any:
        asked = request.query_params
        since = -1 if "since" not in asked else _number(request, "since", 0)
        attempt, follow = asked.get("attempt", "1"), asked.get("follow") == "1"
        return self._logs.read(request.path_params["job"], _task_name(request), attempt, since, follow=follow)

    def _timeline(self, request: Request) -> Any:
        return self._view.timeline(request.path_params["job"], _seconds(request, "from"), _seconds(request, "to"))

    def _search(self, request: Request) -> Any:
        asked = request.query_params
        level = asked.get("level", "")
        if level and level not in LEVELS:
            raise UsageError(f"level={level}: it is one of {', '.join(LEVELS)}")
        job = request.path_params["job"]
        return self._logs.search(job, asked.get("q", ""), level, asked.get("task", ""), asked.get("cursor", ""))

    def _events(self, request: Request) -> Any:
        asked = request.query_params
        since = _seconds(request, "since") or LOOKBACK_SECONDS
        sink = asked.get("sink", "loggly")
        configured = [parse(url).scheme for url in self._client.config.items("logs") or []]
        if sink not in configured:
            raise ConfigurationError(f"{sink} is not among the log sinks of this page: {', '.join(configured)}")
        return self._logs.events(request.path_params["job"], asked.get("task", ""), sink, since)

    def _result(self, request: Request) -> Any:
        parts = results.parts(self._client.cluster, request.path_params["job"])
        shown = _number(request, "preview", 0)
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
        job, action = request.path_params["job"], request.path_params["action"]
        if action not in ACTIONS:
            raise NotFoundError(f"there is no action {action!r}; there are {', '.join(ACTIONS)}")
        state = getattr(self._client, action)(self._client.find(job))
        self._view.forget(job)
        return {"job": job, "action": action, "state": state}

    def _drain(self, request: Request) -> Any:
        self._client.drain(request.path_params["worker"])
        return {"worker": request.path_params["worker"], "action": "drain"}

    async def _stream(self, request: Request) -> Response:
        if self._channels.listeners >= STREAMS_MAX:
            return JSONResponse({"error": f"{STREAMS_MAX} streams are open already"}, 503)
        job = request.query_params.get("job", "")
        if job:
            channel = self._channels.get(f"job {job}", lambda: self._view.job(job))
        else:
            state, text = request.query_params.get("state", ""), request.query_params.get("q", "")
            try:
                first = _number(request, "first", 0)
            except UsageError as error:
                return refused(error)
            name = f"jobs {state} {text} {first}"
            channel = self._channels.get(name, lambda: self._view.jobs(state, text, first))
        return StreamingResponse(
            channel.frames(),
            media_type="text/event-stream",
            headers={"cache-control": "no-store", "x-accel-buffering": "no"},
        )

    async def _trace(self, request: Request) -> Response:
        job = request.path_params["job"]
        return await _download(
            lambda: iter([json.dumps(self._view.trace(job)).encode()]), f"{job}.trace.json", "application/json"
        )

    async def _report(self, request: Request) -> Response:
        job = request.path_params["job"]
        return await _download(lambda: iter([report(*self._view.everything(job)).encode()]), f"{job}.html", "text/html")

    async def _part(self, request: Request) -> Response:
        job, number = request.path_params["job"], request.path_params["part"]

        def begin() -> Iterator[bytes]:
            parts = results.parts(self._client.cluster, job)
            if number >= len(parts):
                raise NotFoundError(f"the result of {job} has {len(parts)} parts")
            return results.read_part(self._client.cluster, parts[number])

        return await _download(begin, f"{job}-{number}", "application/octet-stream")

    async def _whole_log(self, request: Request) -> Response:
        job, attempt, task = request.path_params["job"], request.path_params["attempt"], _task_name(request)
        name = f"{job}-{task.replace('/', '-')}-{attempt}.log"
        return await _download(lambda: self._logs.download(job, task, attempt), name, "text/plain; charset=utf-8")

    async def _metrics(self, _request: Request) -> Response:
        def ask() -> str:
            try:
                jobs, workers = self._view.jobs(RUNNING, "", 0, metrics.JOBS_MAX), self._view.workers()["workers"]
            except (GomrError, CoordinatorError, StorageError):
                return metrics.down()
            return metrics.metrics(jobs, workers, self._channels.listeners)

        return PlainTextResponse(await run_in_threadpool(ask), media_type=metrics.CONTENT_TYPE)


def make_app(client: Client, access: Access) -> Starlette:
    """Return the application: for `gomr web`, or to be mounted in a server of one's own."""
    page = _static("index.html")
    policy = _policy(page)

    async def index(_request: Request) -> Response:
        return HTMLResponse(page, headers={"cache-control": "no-cache"})

    static = Mount("/static", StaticFiles(packages=[("gomr.web", "static")]))
    pages = Pages(client, access)
    shell = [Route("/", index), Route("/{path:path}", index)]  # the page itself knows what its other addresses show
    return Starlette(
        routes=[static, *pages.routes(), Route("/api/{path:path}", _nothing), *shell],
        middleware=[
            Middleware(Guard, access=access, policy=policy),
            Middleware(GZipMiddleware, minimum_size=GZIP_BYTES_MIN),
        ],
    )


def answered(ask: Ask) -> Callable[[Request], Awaitable[Response]]:
    """Make a handler of a function that answers with JSON types, and may wait: it runs in a thread."""

    async def handler(request: Request) -> Response:
        try:
            return JSONResponse(await run_in_threadpool(ask, request), headers={"cache-control": "no-store"})
        except (GomrError, CoordinatorError, StorageError, OSError) as error:
            return refused(error)

    return handler


def refused(error: Exception) -> Response:
    """Return the answer that tells of an error."""
    statuses: list[tuple[tuple[type[Exception], ...], int]] = [
        ((NotFoundError,), 404),
        ((UsageError, ConfigurationError), 400),
        ((Denied,), 403),
    ]
    status = next((status for kinds, status in statuses if isinstance(error, kinds)), 503)
    if isinstance(error, GomrError) and status == 503 and error.exit_status in (1, 6):
        status = 409  # the job failed or was cancelled: it has no result
    return JSONResponse({"error": str(error)}, status)


async def _nothing(request: Request) -> Response:
    return JSONResponse({"error": f"there is nothing at {request.url.path}; see /api/openapi.json"}, 404)


async def _download(begin: Callable[[], Iterator[bytes]], name: str, kind: str) -> Response:
    """Answer with a file: what goes wrong before its first byte is an error, afterwards the connection breaks off."""
    try:
        pieces = await run_in_threadpool(begin)
        first = await run_in_threadpool(next, pieces, b"")
    except (GomrError, CoordinatorError, StorageError, OSError) as error:
        return refused(error)

    async def body() -> AsyncIterator[bytes]:
        yield first
        async for piece in iterate_in_threadpool(pieces):
            yield piece

    headers = {"content-disposition": f'attachment; filename="{re.sub(r"[^A-Za-z0-9._-]", "_", name)}"'}
    return StreamingResponse(body(), media_type=kind, headers=headers)


def _task_name(request: Request) -> str:
    return f"{request.path_params['stage']}/{request.path_params['index']}"


def _number(request: Request, name: str, default: int, most: int = 10**9) -> int:
    text = request.query_params.get(name, "")
    if not text:
        return default
    if not (text.isascii() and text.isdigit()):
        raise UsageError(f"{name}={text}: it is a number")
    return min(int(text[:12]), most)


def _seconds(request: Request, name: str) -> float | None:
    text = request.query_params.get(name, "")
    if not text:
        return None
    try:
        return float(text)
    except ValueError:
        raise UsageError(f"{name}={text}: it is a number of seconds") from None


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
