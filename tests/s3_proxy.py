"""A proxy before a real S3 server that does to chosen requests what bad days do."""

import http.client
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

ERROR = '<?xml version="1.0"?><Error><Code>{code}</Code><Message>on purpose</Message>{more}</Error>'


class Faulty:
    """The proxy. `faults` are taken one a request: ("status", 503, "SlowDown"), ("truncate",), ("stall", seconds),
    ("garbage",), ("lose",): forwarded, and the connection closed without an answer; None lets one request pass."""

    def __init__(self, endpoint: str) -> None:
        self.target = urlsplit(endpoint)
        self.faults: list[tuple[object, ...] | None] = []
        self.requests: list[str] = []
        self.types: list[str | None] = []  # the Content-Type of each request that stores something
        self.lock = threading.Lock()
        faulty = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                with faulty.lock:
                    faulty.requests.append(f"{self.command} {self.path}")
                    if self.command == "PUT":
                        faulty.types.append(self.headers.get("Content-Type"))
                    fault = faulty.faults.pop(0) if faulty.faults else None
                faulty.serve(self, body, fault or ("pass",))

            do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = handle_any

            def log_message(self, *arguments: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def serve(self, handler: BaseHTTPRequestHandler, body: bytes, fault: tuple[object, ...]) -> None:
        kind = fault[0]
        if kind == "status":
            _, status, code, *more = fault
            text = ERROR.format(code=code, more="".join(map(str, more))).encode()
            self.answer(handler, int(str(status)), {"Content-Type": "application/xml"}, text)
            return
        if kind == "nothing":
            self.answer(handler, int(str(fault[1])), {"Content-Type": "text/html"}, b"<html>no such page</html>")
            return
        if kind == "garbage":
            self.answer(handler, 200, {"Content-Type": "text/html"}, b"<html>not S3</html")
            return
        if kind == "stall":
            time.sleep(float(str(fault[1])))
        status, headers, data = self.forward(handler, body)
        if kind == "lose":
            handler.close_connection = True
            return
        if kind == "truncate":
            length = len(data)
            data = data[: length // 2]
            headers["Content-Length"] = str(length)
            handler.close_connection = True
        self.answer(handler, status, headers, data)

    def forward(self, handler: BaseHTTPRequestHandler, body: bytes) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection(str(self.target.hostname), self.target.port, timeout=60)
        try:
            connection.putrequest(handler.command, handler.path, skip_host=True, skip_accept_encoding=True)
            for name, value in handler.headers.items():
                connection.putheader(name, value)
            connection.endheaders(body)
            answer = connection.getresponse()
            data = answer.read()
            kept = {name: value for name, value in answer.getheaders() if name.lower() != "transfer-encoding"}
            return answer.status, kept, data
        finally:
            connection.close()

    @staticmethod
    def answer(handler: BaseHTTPRequestHandler, status: int, headers: dict[str, str], data: bytes) -> None:
        handler.send_response_only(status)
        for name, value in headers.items():
            if name.lower() != "connection":
                handler.send_header(name, value)
        if "content-length" not in {name.lower() for name in headers}:
            handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        if handler.command != "HEAD":
            handler.wfile.write(data)
