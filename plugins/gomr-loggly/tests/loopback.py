"""A server on loopback that keeps what Loggly documents: limits, authentication, tags, paging, delay, errors."""

import base64
import json
import re
import secrets
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

TOKEN, API_TOKEN, USERNAME, PASSWORD = "customer-token", "api-token", "reader", "pass word"
BATCH_BYTES_MAX, EVENT_BYTES_MAX, PAGE_EVENTS_MAX = 5 * 1024 * 1024, 1024 * 1024, 1000
TERM = re.compile(r'json\.(\w+):"((?:[^"\\]|\\.)*)"')


class Loopback:
    """The server; `failures` holds statuses for the next requests, `delay_seconds` passes before an event is found."""

    def __init__(self, delay_seconds: float = 0.0, page_events: int = PAGE_EVENTS_MAX) -> None:
        self.delay_seconds = delay_seconds
        self.page_events = page_events
        self.events: list[dict[str, Any]] = []
        self.failures: list[int] = []
        self.refusals: list[str] = []
        self.requests = 0
        self.next_host = ""
        self.pages: dict[str, tuple[str, int]] = {}
        self.lock = threading.Lock()
        loopback = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.answer(*loopback.take(self.path, self.rfile.read(int(self.headers["Content-Length"]))))

            def do_GET(self) -> None:
                self.answer(*loopback.give(self.path, self.headers.get("Authorization", "")))

            def answer(self, status: int, body: dict[str, Any]) -> None:
                data = json.dumps(body).encode()
                if status == -1:  # the body breaks off
                    self.send_response(503)
                    self.send_header("Content-Length", "1000")
                    self.end_headers()
                    self.close_connection = True
                    return
                if status == -2:  # no HTTP at all
                    self.wfile.write(b"220 mail is served here\r\n")
                    self.close_connection = True
                    return
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *arguments: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def take(self, path: str, body: bytes) -> tuple[int, dict[str, Any]]:
        """Answer a request to the bulk endpoint."""
        with self.lock:
            self.requests += 1
            if self.failures:
                return self.failures.pop(0), {"response": "error"}
            found = re.fullmatch(r"/bulk/([^/]+)/tag/([A-Za-z0-9_.,-]+)/", path)
            if not found:
                return self.refuse(404, f"no such path: {path}")
            if found[1] != TOKEN:
                return self.refuse(403, "bad token")
            if len(body) > BATCH_BYTES_MAX:
                return self.refuse(413, f"a batch of {len(body)} bytes")
            lines = body.split(b"\n")
            if any(len(line) > EVENT_BYTES_MAX for line in lines):
                return self.refuse(413, "an event of more than 1 MB")
            for line in lines:
                now = time.time()
                self.events.append(
                    {
                        "id": secrets.token_hex(16),
                        "timestamp": int(now * 1000),
                        "found_from": now + self.delay_seconds,
                        "tags": found[2].split(","),
                        "logmsg": line.decode(),
                        "logtypes": ["json"],
                        "event": {"json": json.loads(line)},
                    }
                )
            return 200, {"response": "ok"}

    def give(self, path: str, authorization: str) -> tuple[int, dict[str, Any]]:
        """Answer a request to the iterate API."""
        with self.lock:
            self.requests += 1
            if self.failures:
                return self.failures.pop(0), {}
            basic = "Basic " + base64.b64encode(f"{USERNAME}:{PASSWORD}".encode()).decode()
            if authorization not in (basic, f"bearer {API_TOKEN}"):
                return self.refuse(401, "bad login")
            parts = urlsplit(path)
            if parts.path != "/apiv2/events/iterate":
                return self.refuse(404, path)
            query = {name: values[0] for name, values in parse_qs(parts.query).items()}
            if "next" in query:
                if query["next"] not in self.pages:
                    return self.refuse(410, "this page has expired")
                text, start = self.pages.pop(query["next"])
            else:
                if int(query["size"]) > PAGE_EVENTS_MAX or query["order"] != "asc" or query["until"] != "now":
                    return self.refuse(400, parts.query)
                text, start = query["q"], 0
            matching = self.matching(text)
            size = min(self.page_events, PAGE_EVENTS_MAX)
            page: dict[str, Any] = {"events": matching[start : start + size]}
            if start + size < len(matching):
                mark = secrets.token_hex(8)
                self.pages[mark] = (text, start + size)
                page["next"] = f"{self.next_host or self.address}/apiv2/events/iterate?next={mark}"
            return 200, page

    def matching(self, query: str) -> list[dict[str, Any]]:
        wanted = {name: value.replace('\\"', '"') for name, value in TERM.findall(query)}
        if not wanted and query != "*":
            return []
        return [
            event
            for event in self.events
            if event["found_from"] <= time.time()
            and all(str(event["event"]["json"].get(name)) == value for name, value in wanted.items())
        ]

    def refuse(self, status: int, why: str) -> tuple[int, dict[str, Any]]:
        self.refusals.append(why)
        return status, {"message": why}
