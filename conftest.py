"""Fixtures: the real servers that tests talk to; where there is none, a test fails."""

import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from gomr.playground.etcd import EtcdServer
from gomr.playground.seaweedfs import SeaweedServer
from tests.odd_s3 import OddS3

HOW = 'scripts/test starts it; by hand: scripts/services start && eval "$(scripts/services env)"'


def placed(url: str, path: str) -> str:
    """Return a back-end URL with another path."""
    base, question, options = url.partition("?")
    return f"{base.rstrip('/')}/{path}{question}{options}"


@pytest.fixture(scope="session")
def s3_server_url() -> str:
    """The S3 server that was started for the tests."""
    url = os.environ.get("GOMR_STORAGE", "")
    if not url.startswith("s3://"):
        pytest.fail(f"no S3 server: {HOW}")
    return url


@pytest.fixture(scope="session")
def etcd_server_url() -> str:
    """The etcd that was started for the tests."""
    url = os.environ.get("GOMR_COORDINATOR", "")
    if not url.startswith("etcd://"):
        pytest.fail(f"no etcd: {HOW}")
    return url


@pytest.fixture
def s3_url(s3_server_url: str) -> str:
    """A prefix of its own in the bucket of the tests."""
    return placed(s3_server_url, f"test-{secrets.token_hex(8)}")


@pytest.fixture
def odd_s3(s3_url: str) -> Iterator[OddS3]:
    """The S3 server of odd manners, before the real one; set its `manners`. Its `url` is a prefix of its own."""
    server = OddS3(s3_url)
    yield server
    server.stop()


@pytest.fixture
def etcd_url(etcd_server_url: str) -> str:
    """A namespace of its own in the etcd of the tests."""
    return placed(etcd_server_url, f"test-{secrets.token_hex(8)}")


@pytest.fixture
def own_seaweed(tmp_path: Path) -> Iterator[SeaweedServer]:
    """An S3 server for one test to break."""
    server = SeaweedServer(tmp_path / "seaweedfs")
    server.start()
    yield server
    server.stop()
    shutil.rmtree(tmp_path / "seaweedfs")


@pytest.fixture
def own_etcd(tmp_path: Path) -> Iterator[EtcdServer]:
    """An etcd of one member for one test to break."""
    server = EtcdServer(tmp_path / "etcd")
    server.start()
    yield server
    server.stop()
    shutil.rmtree(tmp_path / "etcd")


@pytest.fixture
def own_etcd_of_three(tmp_path: Path) -> Iterator[EtcdServer]:
    """An etcd of three members for one test to break."""
    server = EtcdServer(tmp_path / "etcd3", members=3)
    server.start()
    yield server
    server.stop()
    shutil.rmtree(tmp_path / "etcd3")
