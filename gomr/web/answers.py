"""How handlers ask in threads and answer: JSON, files, errors; and what they take from an address."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

from starlette.concurrency import iterate_in_threadpool, run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from gomr.errors import ConfigurationError, Denied, GomrError, NotFoundError, UsageError
from gomr.scheduling.keys import JOB_ID

Ask = Callable[[Request], Any]


def answered(ask: Ask) -> Callable[[Request], Awaitable[Response]]:
    """Make a handler of a function that answers with JSON types, and may wait: it runs in a thread."""

    async def handler(request: Request) -> Response:
        return JSONResponse(await run_in_threadpool(ask, request), headers={"cache-control": "no-store"})

    return handler


async def refused(_request: Request, error: Exception) -> Response:
    """Answer with what a handler has raised: an error of gomr's, a back end's or this machine's."""
    statuses: list[tuple[tuple[type[Exception], ...], int]] = [
        ((NotFoundError,), 404),
        ((UsageError, ConfigurationError), 400),
        ((Denied,), 403),
    ]
    status = next((status for kinds, status in statuses if isinstance(error, kinds)), 503)
    if isinstance(error, GomrError) and status == 503 and error.exit_status in (1, 6):
        status = 409  # the job failed or was cancelled: it has no result
    return JSONResponse({"error": str(error)}, status)


async def download(begin: Callable[[], Iterator[bytes]], name: str, kind: str) -> Response:
    """Answer with a file: what goes wrong before its first byte is an error, afterwards the connection breaks off."""
    pieces = await run_in_threadpool(begin)
    first = await run_in_threadpool(next, pieces, b"")

    async def body() -> AsyncIterator[bytes]:
        yield first
        async for piece in iterate_in_threadpool(pieces):
            yield piece

    headers = {"content-disposition": f'attachment; filename="{re.sub(r"[^A-Za-z0-9._-]", "_", name)}"'}
    return StreamingResponse(body(), media_type=kind, headers=headers)


def job_of(request: Request) -> str:
    """Return the job of an address. Raises NotFoundError for what cannot be one, before it becomes part of a key."""
    return checked_job(request.path_params["job"])


async def broken(_request: Request, error: Exception) -> Response:
    """Answer where a handler failed by a fault of its own, which the server's log tells in full."""
    return JSONResponse({"error": f"this page failed: {type(error).__name__}; its log has more"}, 500)


def checked_job(job: str) -> str:
    """Return the id of a job where it is one. Raises NotFoundError."""
    if not JOB_ID.fullmatch(job):
        raise NotFoundError(f"{job[:80]!r} is not the id of a job")
    return job


def task_name(request: Request) -> str:
    """Return the name of the task of an address."""
    return f"{request.path_params['stage']}/{request.path_params['index']}"


def number(request: Request, name: str, default: int, most: int = 10**9) -> int:
    """Return a number of the query, at most `most`. Raises UsageError for what is none."""
    text = request.query_params.get(name, "")
    if not text:
        return default
    if not (text.isascii() and text.isdigit()):
        raise UsageError(f"{name}={text}: it is a number")
    return min(int(text[:12]), most)


def seconds(request: Request, name: str) -> float | None:
    """Return a time of the query, in seconds; None where there is none. Raises UsageError for what is no number."""
    text = request.query_params.get(name, "")
    if not text:
        return None
    try:
        return float(text)
    except ValueError:
        raise UsageError(f"{name}={text}: it is a number of seconds") from None
