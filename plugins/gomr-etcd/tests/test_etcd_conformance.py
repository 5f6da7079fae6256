"""gomr-etcd against the conformance kit, on a real etcd."""

import signal

import pytest

from gomr.playground.etcd import EtcdServer
from gomr.testing import CoordinatorConformance


class Control:
    """Breaks the only member of an etcd."""

    def __init__(self, etcd: EtcdServer) -> None:
        self._etcd = etcd

    def kill(self) -> None:
        self._etcd.members[0].kill()

    def start(self) -> None:
        self._etcd.start()

    def pause(self) -> None:
        self._etcd.members[0].send(signal.SIGSTOP)

    def resume(self) -> None:
        self._etcd.members[0].send(signal.SIGCONT)


class TestEtcd(CoordinatorConformance):
    @pytest.fixture
    def coordinator_url(self, request: pytest.FixtureRequest) -> str:
        if "server" in request.fixturenames:  # a test that breaks its server has one of its own
            return str(request.getfixturevalue("own_etcd").url)
        return str(request.getfixturevalue("etcd_url"))

    @pytest.fixture
    def server(self, own_etcd: EtcdServer) -> Control:
        return Control(own_etcd)

    @pytest.fixture
    def other_coordinator_url(self, etcd_url: str) -> str:
        return etcd_url.replace("/test-", "/other-")

    @pytest.fixture
    def unreachable_coordinator_url(self) -> str:
        return "etcd://127.0.0.1:9"
