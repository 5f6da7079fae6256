"""A task's scratch folder goes to the next task, empty and as it was made, or not at all."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gomr.worker.scratch import ScratchFolder


@pytest.fixture
def scratch(tmp_path: Path) -> Iterator[ScratchFolder]:
    scratch = ScratchFolder(tmp_path / "scratch", "worker")
    yield scratch
    scratch.close()
    assert not list((tmp_path / "scratch").iterdir())


def used(scratch: ScratchFolder, use: Callable[[Path], object]) -> Path:
    with scratch.task_folder("") as folder:
        assert sorted(path.name for path in folder.iterdir()) == ["log", "task.json", "work"]
        assert (folder / "log").read_bytes() == (folder / "task.json").read_bytes() == b""
        assert not list((folder / "work").iterdir())
        use(folder)
    return folder


def fill(folder: Path) -> None:
    (folder / "task.json").write_text("{}")
    (folder / "log").write_text("printed")
    (folder / "work" / "output").write_text("written")
    (folder / "work" / "link").symlink_to(folder)


def test_a_folder_goes_from_task_to_task(scratch: ScratchFolder) -> None:
    first = used(scratch, fill)
    assert used(scratch, fill) == first
    with scratch.task_folder("") as one, scratch.task_folder("") as other:
        assert one != other


def test_what_is_no_plain_file_is_deleted_with_its_folder(scratch: ScratchFolder) -> None:
    first = used(scratch, lambda folder: (folder / "work" / "more").mkdir())
    assert not first.exists()
    assert used(scratch, fill) != first


@pytest.mark.parametrize("name", ["work", "log", "task.json"])
def test_a_link_in_the_place_of_what_was_made_is_not_followed(
    scratch: ScratchFolder, tmp_path: Path, name: str
) -> None:
    target = tmp_path / "target"
    target.mkdir()
    (target / "file").write_text("stays")

    def replace(folder: Path) -> None:
        (folder / name).rename(folder / "aside")
        (folder / name).symlink_to(target if name == "work" else target / "file")

    assert not used(scratch, replace).exists()
    assert (target / "file").read_text() == "stays"


@pytest.mark.parametrize("name", ["log", "task.json"])
def test_a_file_that_has_another_name_is_not_used_again(scratch: ScratchFolder, tmp_path: Path, name: str) -> None:
    first = used(scratch, lambda folder: os.link(folder / name, tmp_path / "kept"))
    assert not first.exists()


@pytest.mark.parametrize("name", ["log", "task.json"])
def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(scratch: ScratchFolder, name: str) -> None:
    def replace(folder: Path) -> None:
        (folder / name).unlink()
        os.mkfifo(folder / name)

    assert not used(scratch, replace).exists()
