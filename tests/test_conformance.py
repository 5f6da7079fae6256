"""The built-in back ends against the conformance kit."""

from pathlib import Path

import pytest

from gomr.testing import CoordinatorConformance, LogSinkConformance, StorageConformance


class TestFile(StorageConformance):
    @pytest.fixture
    def storage_url(self, tmp_path: Path) -> str:
        return f"file://{tmp_path}/storage"

    @pytest.fixture
    def other_storage_url(self, tmp_path: Path) -> str:
        return f"file://{tmp_path}/other"


class TestSqlite(CoordinatorConformance):
    @pytest.fixture
    def coordinator_url(self, tmp_path: Path) -> str:
        return f"sqlite://{tmp_path}/coordinator.db"

    @pytest.fixture
    def other_coordinator_url(self, tmp_path: Path) -> str:
        return f"sqlite://{tmp_path}/other.db"


class TestConsole(LogSinkConformance):
    @pytest.fixture
    def log_sink_url(self) -> str:
        return "console://?format=json"
