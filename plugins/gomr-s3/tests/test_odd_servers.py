"""gomr-s3 and the manners of servers out there: each works, or ends with the server's own reason and an option."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest

from conftest import placed
from gomr import urls
from gomr.backends import OK, WARNING, Finding, Storage
from gomr.builtin.sqlite import SqliteCoordinator
from gomr.errors import ConfigurationError, Denied, Unavailable
from gomr.scheduling import gc
from gomr.scheduling.cluster import Cluster
from gomr.testing import open_storage
from tests.odd_s3 import OddS3

MIB = 2**20


@contextmanager
def opened(url: str) -> Iterator[Storage]:
    storage = open_storage(url)
    try:
        yield storage
    finally:
        storage.close()


def use_all(storage: Storage) -> None:
    """Make each request that gomr makes, and find what was written."""
    large = os.urandom(6 * MIB)
    storage.put("a/small", b"small")
    storage.put("a/large", large)
    assert storage.create("a/new", b"first")
    assert not storage.create("a/new", b"second")
    assert b"".join(storage.chunks("a/large")) == large
    assert storage.read("a/small", 1, 3) == b"mal"
    listed = list(storage.list("a/"))
    assert [info.key for info in listed] == ["a/large", "a/new", "a/small"]
    assert [storage.stat(info.key) for info in listed] == listed
    storage.delete(info.key for info in listed)
    assert not list(storage.list(""))


@pytest.mark.parametrize(
    ("manner", "options"),
    [
        ("no deletion of many", ""),
        ("Content-MD5 wanted", ""),
        ("no checksum headers", ""),
        ("no checksum headers", "&checksums=md5"),
        ("no ETag in lists", ""),
        ("encryption wanted", "&sse=AES256"),
        ("KMS wanted", "&kms_id=alias/gomr"),
        ("requester pays", "&requester_pays=true"),
        ("every other request slowed down", ""),
    ],
)
def test_gomr_works_with(odd_s3: OddS3, manner: str, options: str) -> None:
    odd_s3.manners = {manner}
    with opened(f"{odd_s3.url}&part_bytes={5 * MIB}{options}") as storage:
        use_all(storage)
        levels = {finding.level for finding in storage.diagnose()}
    assert levels == {OK}


def test_gomr_works_with_all_of_these_at_once(odd_s3: OddS3) -> None:
    odd_s3.manners = {"no deletion of many", "no checksum headers", "no ETag in lists", "encryption wanted"}
    with opened(f"{odd_s3.url}&part_bytes={5 * MIB}&sse=AES256") as storage:
        use_all(storage)


def test_a_server_is_asked_once_whether_it_knows_an_operation(odd_s3: OddS3) -> None:
    odd_s3.manners = {"no deletion of many", "no checksum headers"}
    with opened(odd_s3.url) as storage:
        for key in ("1", "2", "3"):
            storage.put(key, b"x")
            storage.delete([key])
    assert sorted(odd_s3.refused) == ["InvalidArgument", "NotImplemented"]


def test_objects_without_an_etag_are_known_by_time_and_size(odd_s3: OddS3) -> None:
    odd_s3.manners = {"no ETag in lists", "no ETag at all"}
    with opened(odd_s3.url) as storage:
        storage.put("key", b"12345")
        (info,) = storage.list("")
        assert info == storage.stat("key")
        assert info.version
        assert b"".join(storage.chunks("key")) == b"12345"
        storage.put("key", b"123456")
        assert storage.stat("key").version != info.version


@pytest.mark.parametrize(
    "answer",
    [
        (507, "XMinioStorageFull", "Storage backend has reached its minimum free drive threshold."),
        (400, "XMinioAdminBucketQuotaExceeded", "Bucket quota exceeded"),
        (403, "QuotaExceeded", "The quota set for the user has been exceeded."),
        (403, "AccessDenied", "Cannot upload files, storage cap exceeded."),
    ],
)
def test_a_full_server_is_full_and_does_not_deny(odd_s3: OddS3, answer: tuple[int, str, str]) -> None:
    odd_s3.full = answer
    odd_s3.manners = {"full"}
    with opened(odd_s3.url) as storage, pytest.raises(Unavailable, match="the storage is full") as caught:
        storage.put("key", b"x")
    assert f"{answer[1]}: {answer[2].rstrip('.')}" in str(caught.value)
    assert "credentials" not in str(caught.value)
    assert len(odd_s3.refused) == 1


def test_a_rate_that_is_used_up_is_no_full_server(odd_s3: OddS3) -> None:
    odd_s3.full = (503, "SlowDown", "The quota for requests has been exceeded.")
    odd_s3.manners = {"full"}
    with opened(f"{odd_s3.url}&tries=1") as storage, pytest.raises(Unavailable) as caught:
        storage.put("key", b"x")
    assert "SlowDown: The quota for requests has been exceeded" in str(caught.value)
    assert "full" not in str(caught.value)


@pytest.mark.parametrize(
    ("manner", "option", "reason"),
    [
        ("encryption wanted", "", "explicit deny in a resource-based policy"),
        ("KMS wanted", "options sse and kms_id", "with the KMS key alias/gomr"),
        ("requester pays", "option requester_pays", "this is a Requester Pays bucket"),
    ],
)
def test_a_refusal_tells_the_servers_reason_and_the_option(
    odd_s3: OddS3, manner: str, option: str, reason: str
) -> None:
    odd_s3.manners = {manner}
    with opened(odd_s3.url) as storage, pytest.raises(Denied) as caught:
        storage.put("key", b"x")
    assert "the server says AccessDenied: " in str(caught.value)
    assert reason in str(caught.value)
    assert option in str(caught.value)


def test_checksums_that_were_asked_for_are_not_left_out(odd_s3: OddS3) -> None:
    odd_s3.manners = {"no checksum headers"}
    with opened(f"{odd_s3.url}&checksums=sha256") as storage, pytest.raises(Denied) as caught:
        storage.put("key", b"x")
    assert "Unsupported header 'x-amz-checksum-sha256'" in str(caught.value)
    assert "checksums=md5" in str(caught.value)


@pytest.mark.parametrize("option", ["checksums=crc", "sse=yes", "requester_pays=maybe", "sse=AES256&kms_id=x"])
def test_unknown_manners_are_refused(s3_url: str, option: str) -> None:
    with pytest.raises(ConfigurationError, match=option.partition("=")[0]):
        open_storage(f"{s3_url}&{option}")


@pytest.fixture
def versioned(s3_server_url: str) -> Iterator[str]:
    """A bucket that keeps versions, as the URL of a storage at its root; and beside gomr's objects another's."""
    url = urls.parse(s3_server_url)
    bucket = f"versioned-{os.urandom(4).hex()}"
    client = admin(s3_server_url)
    client.create_bucket(Bucket=bucket)
    client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    yield s3_server_url.replace(f"@{url.host}", f"@{bucket}")
    found = client.list_object_versions(Bucket=bucket)
    for item in found.get("Versions", []) + found.get("DeleteMarkers", []):
        client.delete_object(Bucket=bucket, Key=item["Key"], VersionId=item["VersionId"])
    client.delete_bucket(Bucket=bucket)


def admin(text: str) -> Any:
    url = urls.parse(text)
    return boto3.client(
        "s3",
        endpoint_url=url.options["endpoint"],
        aws_access_key_id=url.username,
        aws_secret_access_key=url.password,
        region_name="us-east-1",
    )


def versions(text: str) -> list[tuple[str, bool]]:
    """Return the key of each version, and whether it is a live object."""
    found = admin(text).list_object_versions(Bucket=urls.parse(text).host)
    objects = [(item["Key"], item["IsLatest"]) for item in found.get("Versions", [])]
    return sorted(objects + [(item["Key"], False) for item in found.get("DeleteMarkers", [])])


def test_old_versions_and_marks_of_deletions_go_and_live_objects_stay(versioned: str) -> None:
    with opened(versioned) as storage:
        for data in (b"1", b"22", b"333"):
            storage.put("jobs/replaced", data)
        storage.put("jobs/deleted", b"1")
        storage.delete(["jobs/deleted"])
        storage.put("jobs/again", b"1")
        storage.delete(["jobs/again"])
        storage.put("jobs/again", b"22")
        old = list(storage.old_versions("jobs/"))
        assert [(item.key, item.is_marker) for item in old] == [
            ("jobs/again", False),
            ("jobs/again", True),
            ("jobs/deleted", False),
            ("jobs/deleted", True),
            ("jobs/replaced", False),
            ("jobs/replaced", False),
        ]
        storage.put("jobs/replaced", b"4444")
        storage.put("jobs/deleted", b"55555")
        storage.delete_versions(old)
        assert {info.key: info.size for info in storage.list("")} == {
            "jobs/again": 2,
            "jobs/deleted": 5,
            "jobs/replaced": 4,
        }
        storage.delete_versions(storage.old_versions(""))
        storage.delete_versions(storage.old_versions(""))
    assert versions(versioned) == [("jobs/again", True), ("jobs/deleted", True), ("jobs/replaced", True)]


def test_what_a_later_write_may_replace_is_left_where_versioning_is_suspended(versioned: str) -> None:
    """Such writes all have one id: deleting it could take what has been written since the list was made."""
    with opened(versioned) as storage:
        storage.put("jobs/1", b"1")
        admin(versioned).put_bucket_versioning(
            Bucket=urls.parse(versioned).host, VersioningConfiguration={"Status": "Suspended"}
        )
        storage.delete(["jobs/1"])
        old = list(storage.old_versions("jobs/"))
        assert old
        assert "null" not in {item.version for item in old}
        storage.put("jobs/1", b"22")
        storage.delete_versions(old)
        assert storage.read("jobs/1") == b"22"
        finding = of_versioning(storage)
        assert finding
        assert "suspended" in finding.detail


def test_the_mark_that_hides_what_is_left_alone_stays(s3_server_url: str, versioned: str) -> None:
    """An object from before versioning, deleted under it, must not come back once it is suspended."""
    bucket = f"later-{os.urandom(4).hex()}"
    url, client = versioned.replace(str(urls.parse(versioned).host), bucket), admin(s3_server_url)
    client.create_bucket(Bucket=bucket)
    with opened(url) as storage:
        storage.put("jobs/1", b"1")
        for status in ("Enabled", "Suspended"):
            client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": status})
            storage.delete(["jobs/1"] if status == "Enabled" else [])
        storage.delete_versions(storage.old_versions(""))
        assert not list(storage.list(""))


def test_a_bucket_without_versions_has_no_old_ones(s3_url: str) -> None:
    with opened(s3_url) as storage:
        storage.put("key", b"1")
        storage.put("key", b"2")
        storage.delete(["key"])
        assert not list(storage.old_versions(""))


def of_versioning(storage: Storage) -> Finding | None:
    return next((finding for finding in storage.diagnose() if finding.check == "s3 versioning"), None)


def test_doctor_says_that_a_versioned_bucket_gives_back_no_room(versioned: str, s3_url: str) -> None:
    with opened(versioned) as storage:
        finding = of_versioning(storage)
        assert finding
        assert finding.level == WARNING
        assert "gomr gc --versions" in finding.detail
    with opened(s3_url) as storage:
        assert of_versioning(storage) is None


def test_gomr_keeps_to_its_own_folders_of_a_bucket(versioned: str) -> None:
    with opened(placed(versioned, "")) as storage:
        for key in ("books/1", "jobs/1"):
            storage.put(key, b"1")
            storage.delete([key])
        for folder in gc.OWN_FOLDERS:
            storage.delete_versions(storage.old_versions(folder))
    assert {key for key, _ in versions(versioned)} == {"books/1"}


@pytest.fixture
def cluster(versioned: str, tmp_path: Path) -> Iterator[Cluster]:
    cluster = Cluster(open_storage(versioned), SqliteCoordinator(tmp_path / "c.db"))
    yield cluster
    cluster.close()


def test_gc_deletes_old_versions_where_it_is_asked_to(cluster: Cluster, versioned: str) -> None:
    cluster.identify()
    for key in ("jobs/never-000000000000/job-x.json", "bin/unused/x", "inputs/unused/x"):
        cluster.storage.put(key, b"12345")
    long_after = -3600.0
    assert len(list(gc.collect(cluster, grace_seconds=long_after))) == 3
    kept = versions(versioned)
    assert len([key for key, _ in kept if key.startswith("jobs/")]) == 2
    assert not list(gc.collect(cluster, grace_seconds=3600, versions=True))
    planned = list(gc.collect(cluster, grace_seconds=long_after, versions=True, dry_run=True))
    assert versions(versioned) != [("cluster.json", True), (gc.MARKER, True)]
    found = list(gc.collect(cluster, grace_seconds=long_after, versions=True))
    assert {(item.key, item.reason) for item in found} == {(item.key, item.reason) for item in planned}
    assert {item.reason for item in found} == {"old version", "mark of a deletion"}
    assert sum(item.size for item in found if not item.key.startswith("probe-")) == 15
    assert versions(versioned) == [("cluster.json", True), (gc.MARKER, True)]


@pytest.mark.parametrize("path", ["", "/", "/deep/er/", "//"])
def test_a_bucket_and_a_folder_are_both_places_for_a_storage(versioned: str, path: str) -> None:
    base, _, options = versioned.partition("?")
    with opened(f"{base}{path}?{options}") as storage:
        use_all(storage)
