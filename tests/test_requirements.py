"""Requirements files of pip's, index settings and PEP 723: each honoured, or refused in a sentence."""

import hashlib
import json
import zipfile
from pathlib import Path

import pytest

from gomr.errors import NotFoundError, UsageError
from gomr.requirements import facts_without_logins, of_file, of_job_file, without_logins
from tests.conftest import Gomr

JOB = "import colours\n\n\ndef mapper(line):\n    yield line, colours.RED\n"
NO_SERVER = "http://user:secret-word@127.0.0.1:9/simple"  # nobody listens on port 9


def wheel(folder: Path, name: str, version: str, red: str) -> Path:
    """Write a wheel of one module."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{version}-py3-none-any.whl"
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": f"RED = {red!r}\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{file},,\n" for file in (*files, f"{info}/RECORD"))
    with zipfile.ZipFile(path, "w") as archive:
        for file, text in {**files, f"{info}/RECORD": record}.items():
            archive.writestr(file, text)
    return path


@pytest.fixture
def project(gomr: Gomr) -> Path:
    """A job that needs `colours`, of which there are two versions in a folder of wheels."""
    folder = gomr.folder
    for version, red in (("1.0", "old red"), ("2.0", "new red")):
        wheel(folder / "wheels", "colours", version, red)
    (folder / "job.py").write_text(JOB)
    (folder / "in.txt").write_text("a\n")
    return folder


def built(gomr: Gomr, *lines: str, status: int = 0) -> str:
    """Build the job with these requirements, and run it; return its result, or what is said."""
    (gomr.folder / "wanted.txt").write_text("".join(f"{line}\n" for line in lines))
    done = gomr("build", "job.py", "--requirement", "wanted.txt", status=status)
    if status:
        return done.stderr
    return gomr("run", "job.pex", "in.txt").stdout


def test_index_options_constraints_and_other_files(gomr: Gomr, project: Path) -> None:
    (project / "more").mkdir()
    (project / "more" / "base.txt").write_text("\ufeffcolours >= 1 \\\n  ; python_version > '3'  # both lines\n")
    (project / "limits.txt").write_text("colours < 2\n")
    text = built(gomr, "--no-index", "--find-links wheels", "-r more/base.txt", "-c limits.txt", "", "# no more")
    assert text == "a\told red\n"
    (project / "limits.txt").write_text("colours > 1\n")
    assert built(gomr, "--no-index", "-f wheels", "-r more/base.txt", "--constraint=limits.txt") == "a\tnew red\n"


def test_pips_environment_is_heard(gomr: Gomr, project: Path) -> None:
    gomr.environment |= {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(project / "wheels"), "PIP_TARGET": "/nowhere"}
    assert built(gomr, "colours") == "a\tnew red\n"


def test_hashes_are_checked(gomr: Gomr, project: Path) -> None:
    right = hashlib.sha256((project / "wheels" / "colours-1.0-py3-none-any.whl").read_bytes()).hexdigest()
    options = ("--no-index", "--find-links wheels")
    good = ("colours==1.0 \\", f"    --hash=sha256:{'0' * 64} \\", f"    --hash=sha256:{right}")
    assert built(gomr, *options, *good) == "a\told red\n"
    said = built(gomr, *options, f"colours==1.0 --hash=sha256:{'0' * 64}", status=2)
    assert f"colours 1.0 has the SHA-256 {right}, which none of its --hash options says" in said


@pytest.mark.parametrize(
    "lines",
    [
        (f"--index-url {NO_SERVER}", "colours"),
        (f"--extra-index-url={NO_SERVER}", "--index-url http://127.0.0.1:9", "x"),
    ],
)
def test_no_password_of_an_index_is_shown(gomr: Gomr, project: Path, lines: tuple[str, ...]) -> None:
    gomr.environment |= {"PIP_RETRIES": "0"}
    said = built(gomr, *lines, status=1)
    assert "cannot lock the dependencies" in said
    assert "secret-word" not in said
    gomr.environment |= {"PIP_EXTRA_INDEX_URL": NO_SERVER}
    assert "secret-word" not in built(gomr, "--no-index", "no-such-thing", status=1)
    assert not (project / "job.lock").exists()


def test_no_password_is_in_a_lock(gomr: Gomr, project: Path) -> None:
    gomr.environment |= {"PIP_EXTRA_INDEX_URL": NO_SERVER}
    assert built(gomr, "--no-index", "--find-links wheels", "colours") == "a\tnew red\n"
    text = (project / "job.lock").read_text()
    assert "secret-word" not in text
    assert json.loads(text)["gomr_requirements"] == ["colours"]


REFUSED = {
    "-ihttps://user:secret-word@example.org/simple": "gomr does not know -ihttps://***@example.org/simple",
    "mine --index-url=https://user:secret-word@example.org/simple": "gomr does not know --index-url=https://***@",
    "-r https://user:secret-word@example.org/r.txt": "-r https://***@example.org/r.txt: gomr reads files of this",
    "-c https://user:secret-word@example.org/c.txt": "fetch it first",
    "mine @ https://user:p@'secret-word@example.org/mine.whl": "https://***@example.org",
    "-e ./mine": "an executable holds no editable install",
    "./mine": "a path or URL needs a name",
    "mine-1.0-py3-none-any.whl": "a path or URL needs a name",
    "git+https://example.org/mine": "a path or URL needs a name",
    "mine @ https://user:secret-word@example.org/mine.whl": "put it into ~/.netrc",
    "mine = 1": "not a requirement",
    "mine --hash=md5:00": "it takes --hash=sha256:...",
    "mine --config-settings=x": "gomr does not know --config-settings=x",
    "--pre": "gomr does not know --pre; leave it out",
    "-r 'no end": "No closing quotation",
}


@pytest.mark.parametrize(("line", "said"), REFUSED.items(), ids=REFUSED)
def test_what_is_not_taken_is_refused_with_its_line(tmp_path: Path, line: str, said: str) -> None:
    path = tmp_path / "wanted.txt"
    path.write_text(f"# first\nfine\n{line}\n")
    with pytest.raises(UsageError) as refused:
        of_file(path)
    assert str(refused.value).startswith(f"{path}:3: ")
    assert said in str(refused.value)
    assert "secret-word" not in str(refused.value)


LOGINS = ("user:secret-word", "user:p@secret-word", "user:'secret-word", 'user:"secret-word', "secret-word")


@pytest.mark.parametrize("login", LOGINS)
def test_no_login_is_left_in_a_text(login: str) -> None:
    assert without_logins(f"no answer of https://{login}@example.org/a@b twice") == (
        "no answer of https://***@example.org/a@b twice"
    )
    assert without_logins(f"folder/https:/{login}@example.org/r.txt") == "folder/https:/***@example.org/r.txt"
    facts = {"urls": [f"https://{login}@example.org", "https://example.org"], "by": "a@b", "size": 1}
    shown = {**facts, "urls": ["https://***@example.org", "https://example.org"]}
    assert facts_without_logins(facts) == shown


def test_files_that_are_not_there_not_text_or_without_end_are_named(tmp_path: Path) -> None:
    path = tmp_path / "wanted.txt"
    path.write_text("-r other.txt\n")
    with pytest.raises(NotFoundError, match=r"other\.txt: no such requirements file"):
        of_file(path)
    path.write_text("-r wanted.txt\n")
    with pytest.raises(UsageError, match="does one name itself"):
        of_file(path)
    path.write_bytes(b"caf\xe9\n")
    with pytest.raises(UsageError, match="not UTF-8 text"):
        of_file(path)


@pytest.mark.parametrize(("wanted", "said"), [(">=4", "requires-python is '>=4'"), ("3.11", "write such as '>=3.11'")])
def test_a_job_for_another_python_is_refused(tmp_path: Path, wanted: str, said: str) -> None:
    job = tmp_path / "job.py"
    job.write_text(f'# /// script\n# requires-python = "{wanted}"\n# ///\n')
    with pytest.raises(UsageError) as refused:
        of_job_file(job)
    assert said in str(refused.value)
    job.write_text('# /// script\n# requires-python = ">=3.11"\n# dependencies = ["gomr", "colours"]\n# ///\n')
    assert of_job_file(job).wanted == ["colours"]


def test_packages_without_an_init_file_are_packed_with_what_is_imported_of_them(gomr: Gomr) -> None:
    deep = gomr.folder / "shared" / "deep"
    deep.mkdir(parents=True)
    (deep / "words.py").write_text("from shared.deep.more import WORD\n")
    (deep / "more.py").write_text("WORD = 'found'\n")
    (deep / "other.py").write_text("1 / 0\n")
    (gomr.folder / "job.py").write_text(
        "from shared.deep import words\n\n\ndef mapper(line):\n    yield line, words.WORD\n"
    )
    (gomr.folder / "in.txt").write_text("a\n")
    assert gomr("run", "job.py", "in.txt").stdout == "a\tfound\n"
