"""Server-sent events: whoever looks at the same thing hears the same bytes, made once.

A frame holds the whole of what is shown, so that a browser that was cut off, or is slow, needs no other frame than the
last. HTML Living Standard, section 9.2.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

from starlette.concurrency import run_in_threadpool

from gomr.errors import CoordinatorError, GomrError, NotFoundError, StorageError
from gomr.logs import log

TICK_SECONDS = 1.0
SILENCE_SECONDS = 15.0  # after which a comment is sent: proxies cut off what is silent for a minute
ANSWER_SECONDS = 6.0  # after which the page says that nothing answers
RETRY_MILLISECONDS = 1000
STREAMS_MAX = 1000


class Channel:
    """One thing that is looked at: read again while anybody listens, and sent when it has changed."""

    def __init__(self, ask: Callable[[], Any]) -> None:
        self._ask = ask
        self.listeners = 0
        self._version = 0
        self._frame = b""
        self._changed = asyncio.Condition()
        self._task: asyncio.Task[None] | None = None
        self._asked: asyncio.Future[Any] | None = None
        self._trouble_since = 0.0

    async def frames(self) -> AsyncIterator[bytes]:
        """Yield frames, and comments in between, until the listener goes."""
        self.listeners += 1
        if self._task is None:
            self._task = asyncio.create_task(self._read())
        seen = 0
        try:
            yield b"retry: %d\n\n" % RETRY_MILLISECONDS
            while True:
                try:
                    async with asyncio.timeout(SILENCE_SECONDS), self._changed:
                        while self._version == seen:
                            await self._changed.wait()
                        seen, frame = self._version, self._frame
                except TimeoutError:
                    frame = b": still here\n\n"
                yield frame
        finally:
            self.listeners -= 1
            if not self.listeners and self._task:
                self._task.cancel()
                self._task = None

    async def _read(self) -> None:
        while True:
            await self._publish(*await self._answer())
            await asyncio.sleep(TICK_SECONDS)

    async def _answer(self) -> tuple[str, Any]:
        """Ask once; return the kind of frame and what it holds."""
        if self._asked is None:
            self._asked = asyncio.ensure_future(run_in_threadpool(self._ask))
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                answer = await asyncio.shield(self._asked)
        except TimeoutError:  # it is still asking: the next tick waits for the same answer
            return "trouble", self._trouble(f"no answer for {ANSWER_SECONDS:g} s")
        except NotFoundError as error:
            self._asked = None
            return "gone", {"error": str(error)}
        except (GomrError, CoordinatorError, StorageError, OSError) as error:
            self._asked = None
            return "trouble", self._trouble(str(error))
        except Exception as error:  # a fault of the page's own must not leave its listeners with old facts
            self._asked = None
            log.exception("page.failed")
            return "trouble", self._trouble(f"this page failed: {type(error).__name__}: {error}")
        self._asked = None
        self._trouble_since = 0.0
        return "state", answer

    def _trouble(self, message: str) -> dict[str, Any]:
        self._trouble_since = self._trouble_since or time.time()
        return {"error": message, "since": self._trouble_since}

    async def _publish(self, kind: str, answer: Any) -> None:
        data = json.dumps(answer, separators=(",", ":"), default=str).encode()
        frame = b"event: %s\ndata: %s\n\n" % (kind.encode(), data)
        if frame == self._frame:
            return
        async with self._changed:
            self._frame = frame
            self._version += 1
            self._changed.notify_all()


class Channels:
    """The channels that are listened to, by name."""

    def __init__(self) -> None:
        self._channels: dict[str, Channel] = {}

    @property
    def listeners(self) -> int:
        """How many listen now."""
        return sum(channel.listeners for channel in self._channels.values())

    def get(self, name: str, ask: Callable[[], Any]) -> Channel:
        """Return the channel of a name, which asks `ask` while anybody listens."""
        self._channels = {key: channel for key, channel in self._channels.items() if channel.listeners or key == name}
        return self._channels.setdefault(name, Channel(ask))
