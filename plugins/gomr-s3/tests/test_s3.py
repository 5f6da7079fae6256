"""gomr-s3: bad days of a server, errors as sentences, multipart uploads, a server that lies."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from gomr_s3 import open_s3

from gomr import urls
from gomr.backends import FAILURE, OK, Storage
from gomr.errors import ConfigurationError, Denied, NotFound, Unavailable
from gomr.testing import open_storage
from tests.s3_proxy import Faulty

MIB = 2**20


@pytest.fixture
def faulty(s3_server_url: str) -> Iterator[Faulty]:
    proxy = Faulty(urls.parse(s3_server_url).options["endpoint"])
    yield proxy
    proxy.stop()


@pytest.fixture
def storage(s3_url: str, faulty: Faulty) -> Iterator[Storage]:
    """A storage behind the proxy."""
    storage = open_storage(behind(s3_url, faulty))
    yield storage
    storage.close()


def behind(url: str, faulty: Faulty) -> str:
    return f"{url.partition('?')[0]}?endpoint={faulty.endpoint}&timeout_seconds=2&part_bytes={5 * MIB}"


@pytest.fixture
def server(s3_server_url: str) -> Any:
    """The server as its administrator sees it."""
    url = urls.parse(s3_server_url)
    return boto3.client(
        "s3",
        endpoint_url=url.options["endpoint"],
        aws_access_key_id=url.username,
        aws_secret_access_key=url.password,
        region_name="us-east-1",
    )


@pytest.mark.parametrize(
    "fault",
    [("status", 503, "SlowDown"), ("status", 500, "InternalError"), ("truncate",), ("stall", 3), ("lose",)],
    ids=lambda fault: "-".join(map(str, fault)),
)
def test_what_passes_is_tried_again(storage: Storage, faulty: Faulty, fault: tuple[object, ...]) -> None:
    data = os.urandom(100_000)
    if fault != ("truncate",):
        faulty.faults = [fault, fault]
    storage.put("key", data)
    assert not faulty.faults
    faulty.faults = [fault, fault]
    assert storage.read("key") == data
    assert not faulty.faults
    faulty.faults = [fault, None, fault]
    assert b"".join(storage.chunks("key")) == data


def test_tries_are_counted(storage: Storage, faulty: Faulty) -> None:
    faulty.faults = [("status", 503, "SlowDown"), ("status", 503, "SlowDown")]
    storage.put("key", b"12345")
    assert storage.requests.counts() == {"put": 3, "put_bytes": 5}


def test_an_ill_server_is_unavailable_in_the_end(s3_url: str, faulty: Faulty) -> None:
    storage = open_storage(f"{behind(s3_url, faulty)}&tries=2")
    faulty.faults = [("status", 503, "SlowDown")] * 2
    with pytest.raises(Unavailable, match="SlowDown"):
        storage.read("key")
    storage.put("key", b"12345")
    faulty.faults = [("truncate",)] * 2
    before = storage.requests.counts()["get"]
    with pytest.raises(Unavailable, match="does not answer"):
        storage.read("key")
    assert storage.requests.counts()["get"] - before == 2
    storage.close()


@pytest.mark.parametrize("fault", [("lose",), ("status", 503, "SlowDown")], ids=["lost answer", "503"])
def test_a_create_whose_answer_is_lost_knows_its_own(storage: Storage, faulty: Faulty, fault: tuple[object]) -> None:
    assert storage.creates_exclusively
    faulty.faults = [fault]
    assert storage.create("key", b"first")
    assert not storage.create("key", b"second")
    assert storage.read("key") == b"first"


def test_a_multipart_upload_survives_bad_parts(storage: Storage, faulty: Faulty) -> None:
    data = os.urandom(12 * MIB)
    faulty.faults = [None, ("status", 503, "SlowDown"), ("lose",), None, ("status", 500, "InternalError")]
    storage.put("key", data)
    assert b"".join(storage.chunks("key")) == data
    assert storage.read("key", 4 * MIB, 3 * MIB) == data[4 * MIB : 7 * MIB]


def test_a_multipart_upload_whose_last_answer_is_lost_is_there(storage: Storage, faulty: Faulty) -> None:
    data = os.urandom(6 * MIB)
    with storage.write("key") as writer:
        writer.write(data)
        while len([line for line in faulty.requests if "partNumber=1" in line]) < 1:
            time.sleep(0.01)
        faulty.faults = [None, ("lose",)]  # the second part passes, the completion's answer is lost
    assert b"".join(storage.chunks("key")) == data


def test_all_that_is_stored_has_a_type(storage: Storage, faulty: Faulty, server: Any, s3_url: str) -> None:
    """What has none, SeaweedFS compresses where it looks like text, and inflates for each ranged GET."""
    url = urls.parse(s3_url)
    for key, size in (("small", 1), ("large", 11 * MIB)):
        storage.put(key, b"x" * size)
        found = server.head_object(Bucket=url.host, Key=f"{url.path.strip('/')}/{key}")
        assert found["ContentType"] == "binary/octet-stream"
    assert len(faulty.types) == 4  # one of the small object, three parts of the large
    assert set(faulty.types) == {"binary/octet-stream"}


def test_an_abandoned_multipart_upload_leaves_nothing(storage: Storage, server: Any, s3_url: str) -> None:
    url = urls.parse(s3_url)

    def fail() -> None:
        with storage.write("key") as writer:
            writer.write(b"x" * 11 * MIB)
            raise ValueError("on purpose")

    with pytest.raises(ValueError, match="on purpose"):
        fail()
    left = server.list_multipart_uploads(Bucket=url.host, Prefix=url.path.strip("/"))
    assert not left.get("Uploads")
    assert not list(storage.list(""))


def test_a_body_that_was_changed_on_its_way_is_refused(
    storage: Storage, faulty: Faulty, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Single objects carry their SHA-256, parts of larger ones their MD5; the server checks both."""
    whole = faulty.forward

    def corrupting(handler: Any, body: bytes) -> Any:
        return whole(handler, body.replace(b"right", b"wrong"))

    monkeypatch.setattr(faulty, "forward", corrupting)
    with pytest.raises((Denied, Unavailable)):
        storage.put("key", b"the right bytes")
    with pytest.raises((Denied, Unavailable)):
        storage.put("key", b"the right bytes" + b"x" * 6 * MIB)
    monkeypatch.undo()
    with pytest.raises(NotFound):
        storage.read("key")


def answered(url: str, faulty: Faulty, *fault: object) -> str:
    """Return the error for one answer."""
    storage = open_storage(behind(url, faulty))
    faulty.faults = [fault] * 8  # boto3 tries some of them again, in another region
    try:
        with pytest.raises(Denied) as caught:
            storage.read("key")
    finally:
        faulty.faults = []
        storage.close()
    return str(caught.value)


def test_errors_are_sentences(s3_url: str, s3_server_url: str, faulty: Faulty) -> None:
    url = urls.parse(s3_server_url)
    endpoint = url.options["endpoint"]

    def refused(text: str) -> str:
        storage = open_storage(text)
        try:
            with pytest.raises(Denied) as caught:
                storage.read("key")
        finally:
            storage.close()
        assert url.password not in str(caught.value)
        return str(caught.value)

    keys = f"{url.username}:{url.password}"
    assert "no such bucket" in refused(f"s3://{keys}@no-such-bucket?endpoint={endpoint}")
    assert "does not know this access key" in refused(f"s3://nobody:{url.password}@gomr?endpoint={endpoint}")
    assert "secret key does not match" in refused(f"s3://{url.username}:wrong@gomr?endpoint={endpoint}")
    assert "credentials have expired" in answered(s3_url, faulty, "status", 400, "ExpiredToken")
    assert "access denied to GetObject" in answered(s3_url, faulty, "status", 403, "AccessDenied")
    assert "clock" in answered(s3_url, faulty, "status", 403, "RequestTimeTooSkewed")
    wrong = answered(s3_url, faulty, "status", 400, "AuthorizationHeaderMalformed", "<Region>eu-west-1</Region>")
    assert "in region eu-west-1; set AWS_REGION" in wrong
    assert "does not answer" in unavailable("s3://k:s@gomr?endpoint=http://127.0.0.1:9&tries=1")


def unavailable(text: str) -> str:
    storage = open_storage(text)
    try:
        with pytest.raises(Unavailable) as caught:
            storage.read("key")
    finally:
        storage.close()
    return str(caught.value)


def test_a_server_that_is_not_s3_is_named(s3_url: str, faulty: Faulty) -> None:
    storage = open_storage(behind(s3_url, faulty))
    faulty.faults = [("garbage",)] * 20
    with pytest.raises(Unavailable, match="without an S3 error; check the endpoint"):
        list(storage.list(""))
    storage.close()


def test_a_web_server_is_no_s3_server(s3_url: str, faulty: Faulty) -> None:
    """It answers 404 and a page: that is no missing object."""
    storage = open_storage(behind(s3_url, faulty))
    for call in (lambda: storage.read("key"), lambda: storage.put("key", b"x"), lambda: list(storage.list(""))):
        faulty.faults = [("nothing", 404)] * 6
        with pytest.raises(Denied, match="does not speak S3"):
            call()
    faulty.faults = []
    storage.close()


def test_a_request_without_an_answer_is_tried_so_often_and_no_more(s3_url: str, faulty: Faulty) -> None:
    storage = open_storage(f"{behind(s3_url, faulty)}&tries=2".replace("timeout_seconds=2", "timeout_seconds=1"))
    faulty.faults = [("stall", 2)] * 20
    with pytest.raises(Unavailable):
        storage.read("key")
    assert len(faulty.requests) == 2
    faulty.faults = []
    storage.close()


@pytest.mark.parametrize("text", ["s3://KEY:wJal/rXUt@bucket", "s3://KEY:wJal/rXUt@bucket/prefix?region=x"])
def test_a_slash_in_a_secret_is_not_printed(text: str) -> None:
    with pytest.raises(ConfigurationError, match="%2F") as caught:
        open_storage(text)
    assert "wJal" not in str(caught.value)
    assert "rXUt" not in str(caught.value)


def test_without_credentials_it_says_what_to_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    storage = open_s3(urls.parse("s3://bucket?endpoint=http://127.0.0.1:9"))
    with pytest.raises(Denied, match="AWS_ACCESS_KEY_ID"):
        storage.read("key")
    storage.close()


def test_the_usual_variables_are_read(s3_server_url: str, s3_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    url = urls.parse(s3_url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", url.username)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", url.password)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", url.options["endpoint"])
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    storage = open_storage(f"s3://{url.host}{url.path}")
    storage.put("key", b"x")
    assert storage.read("key") == b"x"
    storage.close()


@pytest.mark.parametrize(
    "text",
    [
        "s3://",
        "s3://b?addressing=odd",
        "s3://b?part_bytes=1000",
        "s3://b?tries=0",
        "s3://b?parallel=many",
        "s3://b?endpoint=not-a-url",
        "s3://b?profile=no-such-profile",
    ],
)
def test_wrong_options_are_refused(text: str) -> None:
    with pytest.raises(ConfigurationError):
        open_s3(urls.parse(text))


@pytest.fixture
def lying_server(tmp_path: Path) -> Iterator[str]:
    """An rclone that serves a folder as S3: it takes If-None-Match, and overwrites."""
    folder = tmp_path / "served"
    (folder / "bucket").mkdir(parents=True)
    log = (tmp_path / "rclone.log").open("wb")
    program = Path(sys.executable).parent / "rclone"
    process = subprocess.Popen(
        [program, "serve", "s3", "--addr", "127.0.0.1:0", "--auth-key", "key,secret", folder],
        env={"HOME": str(tmp_path), "PATH": os.environ["PATH"]},
        stdout=log,
        stderr=log,
    )
    try:
        address = ""
        while not address:
            assert process.poll() is None, (tmp_path / "rclone.log").read_text()
            text = (tmp_path / "rclone.log").read_text()
            address = next((word.strip("[]/") for word in text.split() if "http://127.0.0.1:" in word), "")
            time.sleep(0.05)
        yield f"s3://key:secret@bucket/prefix?endpoint={address}"
    finally:
        process.kill()
        process.wait()
        log.close()


def test_a_server_that_lies_is_found_out(lying_server: str) -> None:
    storage = open_storage(lying_server)
    assert not storage.creates_exclusively
    (finding,) = [finding for finding in storage.diagnose() if finding.check == "s3 put-if-absent"]
    assert finding.level == FAILURE
    assert "overwrites" in finding.detail
    storage.close()


def test_doctor_refuses_a_server_that_lies(lying_server: str, tmp_path: Path) -> None:
    environment = {**os.environ, "HOME": str(tmp_path), "GOMR_STORAGE": lying_server}
    environment["GOMR_COORDINATOR"] = f"sqlite://{tmp_path}/c.db"
    done = subprocess.run(
        [sys.executable, "-m", "gomr.cli", "doctor"], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 5, done.stderr
    assert "FAIL  s3 put-if-absent: the server does not keep If-None-Match, or" in done.stdout


def test_doctor_is_content_with_an_honest_server(s3_url: str) -> None:
    storage = open_storage(s3_url)
    assert {finding.level for finding in storage.diagnose()} == {OK}
    storage.close()
