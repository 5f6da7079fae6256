"""Credentials that are mended under a running process are taken up by it."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from gomr.backends import Storage
from gomr.errors import Denied
from gomr.testing import open_storage
from tests.odd_s3 import OddS3, Refusal

DENIALS = [
    (400, "ExpiredToken", "The provided token has expired."),
    (403, "InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records."),
    (403, "SignatureDoesNotMatch", "The request signature we calculated does not match."),
    (403, "AccessDenied", "Access Denied"),
    (400, "InvalidToken", "The provided token is malformed or otherwise invalid."),
]


class Machine:
    """A machine whose credentials are in a file, before a server that knows one key alone."""

    def __init__(self, folder: Path, server: OddS3) -> None:
        self.file = folder / "credentials"
        self.server = server
        server.known_keys = {server.real.username}

    def take(self, key: str, secret: str, profile: str = "default") -> None:
        self.file.write_text(f"[{profile}]\naws_access_key_id = {key}\naws_secret_access_key = {secret}\n")

    def mend(self, profile: str = "default") -> None:
        self.take(self.server.real.username, self.server.real.password, profile)

    def open(self, options: str = "") -> Storage:
        real = self.server.real
        return open_storage(f"s3://{real.host}{real.path}?endpoint={self.server.endpoint}{options}")


@pytest.fixture
def machine(tmp_path: Path, odd_s3: OddS3, monkeypatch: pytest.MonkeyPatch) -> Machine:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return Machine(tmp_path, odd_s3)


@pytest.mark.parametrize("denial", DENIALS, ids=[code for _, code, _ in DENIALS])
def test_mended_credentials_are_read_when_old_ones_are_denied(machine: Machine, denial: Refusal) -> None:
    machine.server.denial = denial
    machine.take("old", "secret")
    storage = machine.open()
    with pytest.raises(Denied, match=denial[1]):
        storage.put("key", b"x")
    machine.mend()
    storage.put("key", b"x")
    assert storage.read("key") == b"x"
    assert storage.stat("key").size == 1
    storage.close()


@pytest.mark.parametrize("request_name", ["stat", "list", "read", "delete", "create", "put"])
def test_each_kind_of_request_takes_them_up(machine: Machine, request_name: str) -> None:
    machine.mend()
    first = machine.open()
    first.put("key", b"x")
    first.close()
    machine.take("old", "secret")
    storage = machine.open()
    with pytest.raises(Denied):
        storage.read("key")
    machine.mend()
    work = {
        "stat": lambda: storage.stat("key"),
        "list": lambda: list(storage.list("")),
        "read": lambda: storage.read("key"),
        "delete": lambda: storage.delete(["key"]),
        "create": lambda: storage.create("key", b"x"),
        "put": lambda: storage.put("key", b"x"),
    }
    machine.server.refused.clear()
    work[request_name]()
    # Two for a HEAD: its answer does not say why, and boto3 tries whether the bucket is in another region.
    assert machine.server.refused == ["ExpiredToken"] * (2 if request_name == "stat" else 1)
    storage.close()


def test_credentials_that_did_not_change_are_not_tried_again(machine: Machine) -> None:
    machine.take("old", "secret")
    storage = machine.open()
    for _ in range(3):
        with pytest.raises(Denied, match="get new ones"):
            storage.read("key")
    assert machine.server.refused == ["ExpiredToken"] * 3
    storage.close()


def test_new_credentials_that_are_denied_too_are_tried_once(machine: Machine) -> None:
    machine.take("old", "secret")
    storage = machine.open()
    with pytest.raises(Denied):
        storage.read("key")
    machine.take("newer", "secret")
    machine.server.refused.clear()
    with pytest.raises(Denied):
        storage.read("key")
    assert len(machine.server.refused) == 2
    storage.close()


def test_credentials_that_come_later_are_found(machine: Machine) -> None:
    storage = machine.open()
    with pytest.raises(Denied, match="no credentials"):
        storage.put("key", b"x")
    machine.mend()
    storage.put("key", b"x")
    storage.close()


def test_those_of_a_profile_are_read_again(machine: Machine) -> None:
    machine.take("old", "secret", "work")
    storage = machine.open("&profile=work")
    machine.mend("work")
    storage.put("key", b"x")
    storage.close()


@pytest.fixture
def metadata() -> Iterator[ThreadingHTTPServer]:
    """What gives out the credentials of a container: those that are the `keys` of the server."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            key, secret = self.server.keys  # type: ignore[attr-defined]
            facts = {"AccessKeyId": key, "SecretAccessKey": secret, "Token": None, "Expiration": "2099-01-01T00:00:00Z"}
            body = json.dumps(facts).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def test_those_of_a_container_are_asked_for_again(
    machine: Machine, metadata: ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"http://127.0.0.1:{metadata.server_port}/role")
    metadata.keys = ("old", "secret")  # type: ignore[attr-defined]
    storage = machine.open()
    with pytest.raises(Denied, match="ExpiredToken"):
        storage.put("key", b"x")
    metadata.keys = (machine.server.real.username, machine.server.real.password)  # type: ignore[attr-defined]
    storage.put("key", b"x")
    storage.close()


def test_those_of_a_program_are_asked_for_again(machine: Machine, tmp_path: Path) -> None:
    answer = tmp_path / "answer.json"
    (tmp_path / "config").write_text(f"[default]\ncredential_process = cat {answer}\n")
    facts = {"Version": 1, "AccessKeyId": "old", "SecretAccessKey": "secret"}
    answer.write_text(json.dumps(facts))
    storage = machine.open()
    with pytest.raises(Denied, match="ExpiredToken"):
        storage.put("key", b"x")
    real = machine.server.real
    answer.write_text(json.dumps({**facts, "AccessKeyId": real.username, "SecretAccessKey": real.password}))
    storage.put("key", b"x")
    storage.close()


def test_all_threads_take_them_up(machine: Machine) -> None:
    machine.take("old", "secret")
    storage = machine.open()
    machine.mend()
    problems: list[BaseException] = []

    def work(number: int) -> None:
        try:
            storage.put(f"{number}", b"x")
        except BaseException as error:
            problems.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not problems
    assert len(list(storage.list(""))) == 16
    assert storage.requests.counts()["put"] == 16 + len(machine.server.refused)
    storage.close()


def test_those_of_the_url_are_the_only_ones(machine: Machine) -> None:
    machine.mend()
    real = machine.server.real
    storage = open_storage(f"s3://old:secret@{real.host}{real.path}?endpoint={machine.server.endpoint}")
    with pytest.raises(Denied):
        storage.read("key")
    assert len(machine.server.refused) == 1
    storage.close()
