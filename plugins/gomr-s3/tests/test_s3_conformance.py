"""gomr-s3 against the conformance kit, on a real server, and on one of odd manners."""

import pytest

from gomr.backends import Storage
from gomr.testing import StorageConformance
from tests.odd_s3 import OddS3


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


class TestOddS3(TestS3):
    """Behind the manners that gomr-s3 gets along with by itself, all at once."""

    many_objects = 1001

    @pytest.fixture
    def storage_url(self, odd_s3: OddS3) -> str:
        odd_s3.manners = {"no deletion of many", "no checksum headers", "no ETag in lists"}
        return odd_s3.url

    @pytest.mark.skip(reason="more requests are made than on another server")
    def test_requests_are_counted_for_who_makes_them(self, storage: Storage, name: str) -> None:
        super().test_requests_are_counted_for_who_makes_them(storage, name)

    @pytest.mark.skip(reason="the proxy keeps racers in line; the server behind it decides, as shown above")
    def test_one_of_racing_creates_wins(self, storage: Storage, storage_url: str, name: str) -> None:
        super().test_one_of_racing_creates_wins(storage, storage_url, name)
