"""Proves a back end: pytest classes that its author subclasses in three lines.

    class TestMine(StorageConformance):
        @pytest.fixture
        def storage_url(self, tmp_path):
            return f"mine://{tmp_path}"

Production code never imports this package. It needs pytest.
"""

from gomr.testing.base import open_coordinator, open_storage
from gomr.testing.coordinator import CoordinatorConformance
from gomr.testing.logsink import LogSinkConformance
from gomr.testing.storage import StorageConformance

__all__ = ["CoordinatorConformance", "LogSinkConformance", "StorageConformance", "open_coordinator", "open_storage"]
