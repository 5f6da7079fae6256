"""Who takes part: gomr with and without its native core, and the peers, each in an environment of its own."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
SLOTS = 2
GOMR = [sys.executable, "-m", "gomr.cli"]
Command = Callable[[Path, Path], list[str]]  # of an input and an output
GO_PACKAGES = ("golang-1.19-go", "golang-1.19-src")


@dataclass(frozen=True, slots=True)
class Contender:
    """One system doing one work: `make` prepares what it needs and returns its command for an input and an output."""

    name: str
    make: Callable[["Places"], Command]
    fingerprint: str = "counts"


class Places:
    """Where things that are made once are kept."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def python(self, name: str, *requirements: str) -> str:
        """Return the Python of an environment with these packages; none: our own."""
        if not requirements:
            return sys.executable
        folder = self.folder / f"venv-{name}"
        if not (folder / "ready").exists():
            base = getattr(sys, "_base_executable", sys.executable)
            _run(base, "-m", "venv", "--without-pip", str(folder))
            _run(base, "-m", "pip", "--python", str(folder / "bin/python"), "install", "--quiet", *requirements)
            (folder / "ready").touch()
        return str(folder / "bin/python")

    def executable(self, job: str, *, pure: bool) -> str:
        """Return a job of `jobs/` as an executable."""
        path = self.folder / f"{job}-{'pure' if pure else 'native'}.pex"
        options = ["--pure"] if pure else []
        _run(*GOMR, "build", str(HERE / f"jobs/{job}.py"), "-o", str(path), *options)
        return str(path)

    def go_program(self) -> str:
        """Return the compiled Go program; Go is the one on the PATH, or Debian's, unpacked but not installed."""
        program = self.folder / "count-go"
        if not program.exists():
            go, environment = shutil.which("go"), dict(os.environ)
            if go is None:
                _run("apt-get", "download", *GO_PACKAGES, folder=self.folder)
                for package in self.folder.glob("golang-*.deb"):
                    _run("dpkg-deb", "-x", str(package), str(self.folder))
                root = self.folder / "usr/lib/go-1.19"
                go, environment["GOROOT"] = str(root / "bin/go"), str(root)
            environment["GOCACHE"] = str(self.folder / "go-cache")
            _run(go, "build", "-o", str(program), ".", folder=HERE / "peers/count_go", environment=environment)
        return str(program)


def gomr_run(executable: str, source: str | Path, target: Path, *options: str) -> list[str]:
    """Return the command that runs an executable; an option of ours that `options` has too counts as there."""
    return [*GOMR, "run", executable, str(source), "--slots", str(SLOTS), "-o", str(target), *options]


def gomr(job: str, name: str, *, pure: bool, kind: str = "gomr counts") -> Contender:
    """Return gomr running a job of `jobs/`, built before the clock starts."""

    def make(places: Places) -> Command:
        executable = places.executable(job, pure=pure)
        return lambda source, target: gomr_run(executable, source, target)

    return Contender(name, make, kind)


def peer(script: str, name: str, *requirements: str, kind: str = "counts") -> Contender:
    """Return a peer whose script takes an input and an output."""

    def make(places: Places) -> Command:
        python = places.python(name.replace(" ", "-"), *requirements)
        path = f"PATH={Path(python).parent}:{os.environ['PATH']}"  # some start `python` themselves
        return lambda source, target: ["env", path, python, str(HERE / "peers" / script), str(source), str(target)]

    return Contender(name, make, kind)


def shell(line: str, name: str, *, kind: str) -> Contender:
    """Return a line of shell that is given an input and an output."""
    return Contender(name, lambda _: lambda source, target: ["sh", "-c", line, name, str(source), str(target)], kind)


def _mrjob(places: Places) -> Command:
    python = places.python("mrjob", "mrjob==0.7.4", "setuptools<81")
    line = 'exec "$0" "$1" -r local "$2" > "$3"'
    script = str(HERE / "peers/count_mrjob.py")
    return lambda source, target: ["sh", "-c", line, python, script, str(source), str(target)]


def _go(places: Places) -> Command:
    program = places.go_program()
    return lambda source, target: [program, str(source), str(target)]


def _run(*command: str, folder: Path | None = None, environment: dict[str, str] | None = None) -> None:
    subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)


BY_HAND = peer("count_lines.py", "multiprocessing")
BY_HAND_WHOLE = peer("count_pieces.py", "whole pieces")
GO = Contender("go", _go)
MRJOB = Contender("mrjob", _mrjob)
POLARS = peer("count_polars.py", "polars", "polars")
DUCKDB = peer("count_duckdb.py", "duckdb", "duckdb")
LITHOPS = peer("count_lithops.py", "lithops", "lithops")
RAY = peer("count_ray.py", "ray", "ray")
DASK = peer("count_dask.py", "dask", "dask[complete]")
SPARK = peer("count_spark.py", "spark", "pyspark")
DUCKDB_SORT = peer("sort_duckdb.py", "duckdb", "duckdb", kind="sorted")
POLARS_SORT = peer("sort_polars.py", "polars", "polars", kind="sorted")
SPARK_SORT = peer("sort_spark.py", "spark", "pyspark", kind="sorted")
GNU_SORT = shell('LC_ALL=C exec sort --parallel=2 -S 2G -o "$2" "$1"', "gnu sort", kind="sorted")
