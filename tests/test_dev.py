"""`gomr dev`: what it leaves alone."""

import os

from tests.conftest import Gomr


def test_down_deletes_what_up_made_and_nothing_else(gomr: Gomr) -> None:
    folder = gomr.folder / "mine"
    folder.mkdir()
    (folder / "precious.txt").write_text("not a server's")
    programs = {name: value for name, value in os.environ.items() if name.endswith("_PROGRAM")}
    gomr = Gomr({**gomr.environment, **programs}, gomr.folder)
    gomr("dev", "up", "--folder", folder)
    assert "pid" in gomr("dev", "status", "--folder", folder).stdout
    gomr("dev", "down", "--delete", "--folder", folder)
    assert [path.name for path in folder.iterdir()] == ["precious.txt"]


def test_without_the_programs_nothing_is_written(gomr: Gomr) -> None:
    folder = gomr.folder / "empty"
    refused = Gomr({**gomr.environment, "PATH": os.devnull}, gomr.folder)("dev", "up", "--folder", folder, status=3)
    assert "is not installed" in refused.stderr
    assert not folder.exists()
