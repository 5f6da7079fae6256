"""gomr-s3 against the conformance kit, on a real server."""

import pytest

from gomr.backends import Storage
from gomr.testing import StorageConformance


class TestS3(StorageConformance):
    @pytest.fixture
    def storage_url(self, s3_url: str) -> str:
        return s3_url

    @pytest.fixture
    def other_storage_url(self, s3_url: str) -> str:
        return s3_url.replace("/test-", "/other-")

    @pytest.fixture
    def unreachable_storage_url(self) -> str:
        return "s3://key:secret@bucket?endpoint=http://127.0.0.1:9&tries=2"

    @pytest.mark.xfail(reason="SeaweedFS 4.48 lists a backslash as a slash")
    def test_a_backslash_is_a_letter_like_others(self, storage: Storage, name: str) -> None:
        super().test_a_backslash_is_a_letter_like_others(storage, name)
