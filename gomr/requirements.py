"""What a job depends on: pip's requirements files and PEP 723 blocks, read as pip would, or refused by line.

Index URLs may hold a password. They go to the resolver by its environment, never by its arguments, and neither a lock
nor a message shows one.
"""

import os
import platform
import re
import shlex
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name

from gomr.errors import NotFoundError, UsageError

PEP_723 = re.compile(r"(?m)^# /// script$\s(?P<content>(^#(| .*)$\s)+)^# ///$")  # the expression of PEP 723
COMMENT = re.compile(r"(^|\s)#.*$")
# All up to the last "@" before the host's end: a password may hold an "@" or a quote. A path makes one slash of two.
LOGIN = re.compile(r"(?<=:/)(/?)[^/\s]*@")
PATH = re.compile(r"[./~]|git\+|https?:|\S+\.(whl|zip|tar\.gz)$")  # what stands for a requirement in pip's files alone
FILES_MAX = 100  # of one job, by -r and -c: a file that names itself has no end
# Options of a file, and pip's own environment variables for the same: those of indexes, and no others.
INDEX_OPTIONS = {
    "-i": "PIP_INDEX_URL",
    "--index-url": "PIP_INDEX_URL",
    "--extra-index-url": "PIP_EXTRA_INDEX_URL",
    "-f": "PIP_FIND_LINKS",
    "--find-links": "PIP_FIND_LINKS",
    "--no-index": "PIP_NO_INDEX",
    "--trusted-host": "PIP_TRUSTED_HOST",
}
PASSED_ON = (*INDEX_OPTIONS.values(), "PIP_CERT", "PIP_CLIENT_CERT", "PIP_PROXY", "PIP_CONFIG_FILE")
FILE_OPTIONS = {"-r": "-r", "--requirement": "-r", "-c": "-c", "--constraint": "-c"}


@dataclass(slots=True)
class Requirements:
    """What is wanted, within which constraints, with which hashes by project, and what indexes the files name."""

    wanted: list[str] = field(default_factory=list)
    constraints: list[str] = field(default_factory=list)
    hashes: dict[str, set[str]] = field(default_factory=dict)
    indexes: dict[str, list[str]] = field(default_factory=dict)

    @property
    def key(self) -> list[str]:
        """What a lock is made for."""
        return [*sorted(self.wanted), *(f"-c {line}" for line in sorted(self.constraints))]

    def variables(self, environment: Mapping[str, str]) -> dict[str, str]:
        """Return the environment of a resolver: ours, with the indexes of the files, and no other option of pip's."""
        chosen = {name: value for name, value in environment.items() if _is_for_resolver(name)}
        for name, values in self.indexes.items():
            before = [] if name in ("PIP_INDEX_URL", "PIP_NO_INDEX") else [chosen.get(name, "")]
            chosen[name] = " ".join(filter(None, [*before, *values]))
        return chosen


def without_logins(text: str) -> str:
    """Return `text` with no user and password in any URL of it."""
    return LOGIN.sub(r"\1***@", text)


def facts_without_logins(facts: Any) -> Any:
    """Return JSON data with no user and password in any URL of it: text by text, so that none runs into the next."""
    if isinstance(facts, dict):
        return {name: facts_without_logins(value) for name, value in facts.items()}
    if isinstance(facts, list):
        return [facts_without_logins(value) for value in facts]
    return without_logins(facts) if isinstance(facts, str) else facts


def of_file(path: Path) -> Requirements:
    """Read a requirements file of pip's. Raises NotFoundError, UsageError with file and line."""
    found = Requirements()
    _Reader(found).read(path, "-r")
    return found


def of_job_file(job_file: Path) -> Requirements:
    """Read the PEP 723 block of a job file. Raises UsageError for a damaged one, or one for another Python."""
    found = Requirements()
    block = PEP_723.search(job_file.read_text(encoding="utf-8-sig"))
    if block is None:
        return found
    lines = block["content"].splitlines(True)
    try:
        facts = tomllib.loads("".join(line[2:] if line.startswith("# ") else line[1:] for line in lines))
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{job_file.name}: the `# /// script` block is not TOML: {error}") from None
    _check_python(job_file, facts.get("requires-python", ""))
    dependencies = facts.get("dependencies", [])
    if not isinstance(dependencies, list):
        raise UsageError(f"{job_file.name}: dependencies of the `# /// script` block is no list of requirements")
    for item in dependencies:
        _add(found, str(item), f"{job_file.name}: dependencies")
    return found


def _is_for_resolver(name: str) -> bool:
    # PEX would write its cache folder, where a variable names one, into the executable.
    return name in PASSED_ON or not name.startswith(("PEX_", "XDG_", "PIP_"))


def _check_python(job_file: Path, wanted: object) -> None:
    try:
        specifier = SpecifierSet(str(wanted))
    except InvalidSpecifier:
        raise UsageError(f"{job_file.name}: requires-python is {wanted!r}; write such as '>=3.11'") from None
    version = platform.python_version()
    if not specifier.contains(version, prereleases=True):
        raise UsageError(
            f"{job_file.name}: requires-python is {wanted!r}, and this gomr runs on Python {version}, which would "
            "run the job, too; install gomr for a Python that fits"
        )


class _Reader:
    """Reads a file, and those that it names by -r and -c."""

    def __init__(self, found: Requirements) -> None:
        self._found = found
        self._files = 0

    def read(self, path: Path, kind: str) -> None:
        self._files += 1
        if self._files > FILES_MAX:
            raise UsageError(f"{path}: more than {FILES_MAX} files by -r and -c; does one name itself?")
        if not path.is_file():
            raise NotFoundError(f"{path}: no such requirements file")
        try:
            text = path.read_text(encoding="utf-8-sig")
        except UnicodeDecodeError as error:
            raise UsageError(f"{path}: not UTF-8 text: {error.reason} at byte {error.start}") from None
        for number, line in _logical_lines(text):
            self._take(line, path, f"{path}:{number}", kind)

    def _take(self, line: str, path: Path, where: str, kind: str) -> None:
        if not line.startswith("-"):
            if kind == "-c":
                _checked(line, where)
                self._found.constraints.append(line)
            else:
                _add(self._found, line, where)
            return
        try:
            words = shlex.split(line)
        except ValueError as error:
            raise UsageError(f"{where}: {without_logins(line)}: {error}") from None
        option, has_value, value = words[0].partition("=")
        value = value if has_value else " ".join(words[1:])
        value = os.path.expandvars(value)
        if option in FILE_OPTIONS:
            if "://" in value:
                raise UsageError(f"{where}: {without_logins(line)}: gomr reads files of this machine; fetch it first")
            self.read(path.parent / value, FILE_OPTIONS[option])
        elif option in INDEX_OPTIONS:
            if option in ("-f", "--find-links") and "://" not in value:
                value = str((path.parent / value).absolute())
            self._found.indexes.setdefault(INDEX_OPTIONS[option], []).append(value or "1")
        elif option in ("-e", "--editable"):
            raise UsageError(f"{where}: an executable holds no editable install; name a wheel's folder by --find-links")
        else:
            raise UsageError(f"{where}: gomr does not know {without_logins(option)}; leave it out")


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield lines with the number of their first one: continued ones joined, without comments and empty ones."""
    held, first = "", 0
    for number, line in enumerate(text.splitlines(), 1):
        first = first if held else number
        is_continued = line.endswith("\\") and not line.lstrip().startswith("#")
        held += line[:-1] if is_continued else line
        if is_continued:
            continue
        bare = COMMENT.sub("", held).strip()
        held = ""
        if bare:
            yield first, bare
    if held.strip():
        yield first, COMMENT.sub("", held).strip()


def _add(found: Requirements, line: str, where: str) -> None:
    words, *options = re.split(r"\s+(?=--\S)", line)
    requirement = _checked(words, where)
    for option in options:
        name, _, value = option.partition("=")
        if name != "--hash" or not value.startswith("sha256:"):
            raise UsageError(
                f"{where}: gomr does not know {without_logins(option)}; of a requirement it takes --hash=sha256:..."
            )
        found.hashes.setdefault(canonicalize_name(requirement.name), set()).add(value.removeprefix("sha256:").strip())
    if canonicalize_name(requirement.name) != "gomr":  # it is in every executable
        found.wanted.append(words.strip())


def _checked(text: str, where: str) -> Requirement:
    shown = without_logins(text)
    if PATH.match(text):
        said = "a path or URL needs a name, NAME @ URL; of a wheel, name the folder by --find-links"
        raise UsageError(f"{where}: {shown}: {said}")
    try:
        requirement = Requirement(text)
    except InvalidRequirement as error:
        said = without_logins(str(error).splitlines()[0])
        raise UsageError(f"{where}: {shown}: not a requirement: {said}; write NAME==VERSION") from None
    if requirement.url and LOGIN.search(requirement.url):
        raise UsageError(f"{where}: {shown}: a URL with a password would be in the lock file; put it into ~/.netrc")
    return requirement
