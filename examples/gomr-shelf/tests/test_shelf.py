"""gomr-shelf against the conformance kit."""

from pathlib import Path

import pytest

from gomr.testing import LogSinkConformance, StorageConformance


class TestShelfStorage(StorageConformance):
    @pytest.fixture
    def storage_url(self, tmp_path: Path) -> str:
        return f"shelf://{tmp_path}/objects.db"

    @pytest.fixture
    def other_storage_url(self, tmp_path: Path) -> str:
        return f"shelf://{tmp_path}/other.db"


class TestShelfSink(LogSinkConformance):
    @pytest.fixture
    def log_sink_url(self, tmp_path: Path) -> str:
        return f"shelf://{tmp_path}/events.db"
