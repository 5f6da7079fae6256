"""Builds a job file into a PEX: same sources, lock and target, same digest, wherever and by whom it is built."""

import ast
import hashlib
import importlib.util
import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name

from gomr.errors import DefinitionRefused, GomrError, NotFoundError, UsageError
from gomr.executables import describe, environment, file_digest
from gomr.job.main import platform_tag, python_tag
from gomr.requirements import Requirements, facts_without_logins, of_file, of_job_file, without_logins

PEX_SECONDS_MAX = 900.0  # to resolve and fetch dependencies over a slow network
CACHE_BUILDS_MAX = 50  # a build without dependencies takes 1.2 MB
SAID_CHARACTERS_MAX = 2000  # of what PEX says where it fails
RUNTIME = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Built:
    """A built executable; `cached` is true where an earlier build of the same sources was taken."""

    path: Path
    digest: str
    describe: dict[str, Any]
    cached: bool


def build(
    job_file: Path,
    output: Path | None = None,
    *,
    cache_dir: Path,
    requirements: Path | None = None,
    include: tuple[Path, ...] = (),
    pure: bool = False,
) -> Built:
    """Build `job_file` into `output` (by default `NAME.pex` in the current folder).

    The native core (gomr-native) goes in where it is installed, unless `pure`.

    Dependencies come from `requirements`, or from the job file's PEP 723 block; what they resolve to is locked beside
    the job, in `NAME.lock`. Raises DefinitionRefused for a job file that is no job, GomrError where PEX fails.
    """
    sources = _sources(job_file, include)
    output = output or Path(f"{job_file.stem}.pex")
    needed = of_job_file(job_file) if requirements is None else of_file(requirements)
    with tempfile.TemporaryDirectory(prefix="gomr-build-") as folder:
        stage = Path(folder) / "stage"
        _stage(sources, job_file.stem, stage)
        if not pure:
            _stage_native(stage)
        _make_uniform(stage)
        lock = _lock(job_file, needed, Path(folder)) if needed.wanted else None
        cached = cache_dir / "builds" / f"{_cache_key(stage, lock)}.pex"
        is_cached = cached.is_file()
        if not is_cached:
            if not needed.wanted:
                _check(stage, job_file)
            built = Path(folder) / "built.pex"
            _run_pex(stage, lock, needed, built)
            cached.parent.mkdir(parents=True, exist_ok=True)
            _place(built, cached)
            _evict(cached.parent)
        cached.touch()
        root = cache_dir / "describe-pex"
        facts = describe(cached, environment(root, Path(folder)))
        output.parent.mkdir(parents=True, exist_ok=True)
        _place(cached, output)
    return Built(output, file_digest(output), facts, is_cached)


def _sources(job_file: Path, include: tuple[Path, ...]) -> dict[str, Path]:
    """Return the job file and the sibling modules it imports, by their path inside the executable."""
    if not job_file.is_file():
        raise NotFoundError(f"{job_file}: no such job file")
    if not job_file.stem.isidentifier():
        raise UsageError(f"{job_file}: the name of a job file must be a Python name, such as word_count.py")
    if job_file.stem == "gomr" or job_file.stem in sys.stdlib_module_names:
        raise UsageError(f"{job_file}: a module {job_file.stem!r} exists already in Python or gomr; rename the file")
    folder = job_file.resolve().parent
    seen: set[Path] = set()
    found: dict[str, Path] = {}
    todo = [(path.resolve(), folder) for path in (job_file, *include)]
    while todo:
        path, base = todo.pop()
        if not path.exists():
            raise NotFoundError(f"{path}: no such file or folder to include")
        if not path.is_relative_to(base):
            base = path.parent  # from elsewhere: under its own name, at the top
        if path.is_dir():
            files = (file for file in sorted(path.rglob("*")) if file.is_file() and "__pycache__" not in file.parts)
            todo += [(file, base) for file in files]
            continue
        name = path.relative_to(base).as_posix()
        if found.setdefault(name, path) != path:
            raise UsageError(f"{path} and {found[name]} would both be {name!r} in the executable; rename one")
        if path.suffix == ".py" and path not in seen:
            todo += [(sibling, folder) for sibling in _siblings(path, folder)]
        seen.add(path)
    return found


def _siblings(path: Path, folder: Path) -> Iterator[Path]:
    """Yield the modules and packages beside the job file that `path` imports, as Python would find them."""
    for name in _imported(path):
        place = folder
        for part in name.split("."):
            place /= part
            if (place / "__init__.py").is_file():
                yield place
                break
            if place.with_name(f"{part}.py").is_file():
                yield place.with_name(f"{part}.py")
                break
            if not place.is_dir():  # else a package without __init__.py (PEP 420): what is imported of it
                break


def _imported(path: Path) -> list[str]:
    try:
        tree = ast.parse(path.read_bytes(), filename=path.name)
    except SyntaxError as error:
        line = f"\n    {error.text.strip()}" if error.text else ""
        raise DefinitionRefused(f"{path.name}:{error.lineno}: {error.msg}{line}") from None
    except ValueError as error:
        raise DefinitionRefused(f"{path.name}: not Python source: {error}") from None
    names: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return names


def _stage(sources: dict[str, Path], module: str, stage: Path) -> None:
    """Lay out what goes into the executable: the job's modules, and the standard-library part of gomr."""
    files = dict(sources)
    for path in sorted([RUNTIME / "__init__.py", *(RUNTIME / "job").rglob("*.py")]):
        files[f"gomr/{path.relative_to(RUNTIME).as_posix()}"] = path
    for name, path in files.items():
        target = stage / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    (stage / "gomr" / "job" / "manifest.json").write_text(json.dumps({"module": module}))


def _stage_native(stage: Path) -> None:
    """Add the native core where it is installed. Where it cannot be loaded, the executable does without it."""
    spec = importlib.util.find_spec("gomr_native")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        for path in Path(folder).iterdir():
            if path.suffix in (".py", ".so"):
                target = stage / "gomr_native" / path.name
                target.parent.mkdir(exist_ok=True)
                shutil.copyfile(path, target)


def _make_uniform(stage: Path) -> None:
    for path in stage.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)  # the digest shall not depend on the builder's umask


def _check(stage: Path, job_file: Path) -> None:
    """Find mistakes in a job file without dependencies before the build, which takes longer."""
    with tempfile.TemporaryDirectory(prefix="gomr-check-") as folder:
        script = Path(folder) / "check"
        python = [sys.executable, "-I", "-S", "-B", "-c"]  # no .pyc beside the staged sources
        boot = "import sys; sys.path.insert(0, sys.argv.pop(1)); from gomr.job.main import leave; leave()"
        line = " ".join(map(_quoted, [*python, boot, str(stage)]))
        script.write_text(f'#!/bin/sh\nexec {line} "$@"\n')
        script.chmod(0o755)
        try:
            describe(script, environment(Path(folder), Path(folder)))
        except DefinitionRefused as error:
            raise DefinitionRefused(str(error).replace(f"{stage}/", str(job_file.parent / "_")[:-1])) from None


def _quoted(word: str) -> str:
    return "'" + word.replace("'", "'\\''") + "'"


def _lock(job_file: Path, needed: Requirements, folder: Path) -> Path:
    """Return the lock file beside the job; it is made where it is missing or made for other requirements."""
    lock = job_file.with_suffix(".lock")
    if lock.is_file():
        try:
            facts = json.loads(lock.read_bytes())
        except ValueError:
            raise UsageError(f"{lock}: not a lock file of gomr; delete it to lock anew") from None
        if facts.get("gomr_requirements") == needed.key:
            _check_hashes(lock, facts, needed)
            return lock
    made = folder / "made.lock"
    command = [sys.executable, "-m", "pex.cli", "lock", "create", "--style", "strict", "--use-pip-config"]
    command += ["-o", str(made)]
    if needed.constraints:
        constraints = folder / "constraints.txt"
        constraints.write_text("".join(f"{line}\n" for line in needed.constraints))
        command += ["--constraints", str(constraints)]
    _run([*command, *sorted(needed.wanted)], needed, "cannot lock the dependencies")
    facts = facts_without_logins(json.loads(made.read_bytes()))
    _check_hashes(lock, facts, needed)
    lock.write_text(json.dumps({"gomr_requirements": needed.key, **facts}, indent=1, sort_keys=True) + "\n")
    return lock


def _check_hashes(lock: Path, facts: dict[str, Any], needed: Requirements) -> None:
    """Raise UsageError where a lock has a file that the requirements' hashes do not allow."""
    for resolve in facts.get("locked_resolves", []):
        for locked in resolve.get("locked_requirements", []):
            allowed = needed.hashes.get(canonicalize_name(locked["project_name"]))
            for artifact in locked.get("artifacts", []) if allowed else []:
                if artifact["hash"] not in (allowed or ()):
                    raise UsageError(
                        f"{locked['project_name']} {locked['version']} has the SHA-256 {artifact['hash']}, which "
                        f"none of its --hash options says; mend them, or delete {lock} to lock anew"
                    )


def _run_pex(stage: Path, lock: Path | None, needed: Requirements, output: Path) -> None:
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    command = [sys.executable, "-m", "pex", "-D", str(stage), "--venv", "--sh-boot", "-o", str(output)]
    # An isolated interpreter (-I) would not hear of its hash seed. All its environment is what gomr gives it anyway.
    command += ["--non-hermetic-venv-scripts"]
    command += ["--entry-point", "gomr.job.main:leave", "--interpreter-constraint", f"CPython=={version}.*"]
    if lock is not None:
        facts = json.loads(lock.read_bytes())
        facts.pop("gomr_requirements")
        plain = output.with_suffix(".lock")
        plain.write_text(json.dumps(facts))
        command += ["--lock", str(plain), "--use-pip-config", *sorted(needed.wanted)]
    _run(command, needed, "PEX cannot build the executable")


def _run(command: list[str], needed: Requirements, problem: str) -> None:
    variables = needed.variables(os.environ)
    try:
        done = subprocess.run(
            command, env=variables, stdin=subprocess.DEVNULL, capture_output=True, timeout=PEX_SECONDS_MAX, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise GomrError(f"{problem}: it took more than {PEX_SECONDS_MAX:g} s") from error
    if done.returncode != 0:
        said = without_logins(done.stderr.decode("utf-8", "replace").strip())[-SAID_CHARACTERS_MAX:]
        raise GomrError(f"{problem}:\n{said}")


def _cache_key(stage: Path, lock: Path | None) -> str:
    """Return what a build depends on, as a digest: every staged file, the lock, PEX, and the target."""
    digest = hashlib.sha256()
    for path in sorted(stage.rglob("*")):
        if path.is_file():
            name = path.relative_to(stage).as_posix()
            digest.update(f"{name}\0{path.stat().st_size}\0".encode() + path.read_bytes())
    if lock is not None:
        digest.update(lock.read_bytes())
    digest.update(f"{metadata.version('pex')}\0{python_tag()}\0{platform_tag()}".encode())
    return digest.hexdigest()


def _place(source: Path, target: Path) -> None:
    """Copy a finished file into place, whole or not at all, also across file systems."""
    aside = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    shutil.copyfile(source, aside)
    aside.chmod(0o755)
    aside.replace(target)


def _evict(folder: Path) -> None:
    builds = sorted(folder.glob("*.pex"), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in builds[CACHE_BUILDS_MAX:]:
        path.unlink(missing_ok=True)
