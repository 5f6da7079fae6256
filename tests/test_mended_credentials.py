"""A worker whose credentials are replaced goes on working, without being started again."""

import json
from pathlib import Path

from gomr import urls
from tests.conftest import EXAMPLES, Gomr
from tests.odd_s3 import OddS3


def test_a_running_worker_takes_up_mended_credentials(gomr: Gomr, odd_s3: OddS3, tmp_path: Path) -> None:
    """The access key that it began with is refused by the time of the second job."""
    file = tmp_path / "credentials"

    def give_out(key: str) -> None:
        file.write_text(f"[default]\naws_access_key_id = {key}\naws_secret_access_key = secret-of-{key}\n")
        odd_s3.known_keys = {key}

    place = urls.parse(odd_s3.url)
    gomr.environment |= {
        "GOMR_STORAGE": f"s3://{place.host}{place.path}?endpoint={odd_s3.endpoint}",
        "GOMR_COORDINATOR": f"sqlite://{tmp_path}/c.db",
        "AWS_SHARED_CREDENTIALS_FILE": str(file),
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    give_out("first")
    worker = gomr.worker("--slots", 1)
    for key in ("first", "second"):
        give_out(key)
        (tmp_path / f"{key}.txt").write_text(f"{key} word\n")
        gomr("submit", EXAMPLES / "wordcount.py", f"{key}.txt", "--wait", "--timeout", 120)
    assert worker.poll() is None
    assert {job["state"] for job in json.loads(gomr("jobs", "--json").stdout)} == {"done"}
    assert "ExpiredToken" in odd_s3.refused
    assert "task.given_back" not in gomr.output_of(worker)
