"""A TCP proxy before a server: it delays, loses replies, goes silent, refuses."""

import asyncio
import contextlib
import threading

PASS, SLOW, DEAF, SILENT, CLOSED = "pass", "slow", "deaf", "silent", "closed"
SLOW_SECONDS = 0.3  # for each piece of data, each way
PIECE_BYTES = 64 * 1024


class Proxy:
    """Forwards `host`:`port` to `target`. `mode` may change at any time, for connections that stand too.

    PASS; SLOW: each piece is held up; DEAF: requests arrive, answers are lost; SILENT: nothing passes, and the
    connection stands (half-open); CLOSED: connections are cut, and new ones refused.
    """

    def __init__(self, target: tuple[str, int], host: str = "127.0.0.1") -> None:
        self.target = target
        self.host = host
        self.mode = PASS
        self.port = 0
        self._open: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._stopped = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),), daemon=True)
        self._thread.start()
        self._ready.wait()

    def set(self, mode: str) -> None:
        """Change the mode."""
        self._loop.call_soon_threadsafe(self._set, mode)

    def stop(self) -> None:
        """End it."""
        self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join()
        self._loop.close()

    def _set(self, mode: str) -> None:
        self.mode = mode
        if mode == CLOSED:
            for writer in self._open:
                writer.transport.abort()

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._accept, self.host, 0)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stopped.wait()
        server.close()
        for writer in self._open:
            writer.transport.abort()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.mode == CLOSED:
            writer.transport.abort()
            return
        try:
            server_reader, server_writer = await asyncio.open_connection(*self.target)
        except OSError:
            writer.transport.abort()
            return
        both = {writer, server_writer}
        self._open |= both
        with contextlib.suppress(asyncio.CancelledError):  # at the end of the proxy
            await asyncio.gather(
                self._pump(reader, server_writer, is_answer=False), self._pump(server_reader, writer, is_answer=True)
            )
        self._open -= both
        for end in both:
            end.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_answer: bool) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(PIECE_BYTES):
                if self.mode == SLOW:
                    await asyncio.sleep(SLOW_SECONDS)
                if self.mode == SILENT or (self.mode == DEAF and is_answer):
                    continue  # lost: what comes after it would make no sense, so the end follows with the mode's
                writer.write(data)
                await writer.drain()
            writer.write_eof()
