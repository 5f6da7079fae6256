"""scripts/fuzz: runs each target for some seconds, guided by coverage; exits 1 with the bytes that broke one."""

import subprocess
import sys
import tempfile
from pathlib import Path

import atheris
import click

with atheris.instrument_imports(include=["gomr", "gomr_loggly"]):
    from tests.fuzzing import targets

LENGTH_MAX = 4096


@click.command()
@click.option("--seconds", type=click.IntRange(1), default=60, help="For each target [60].")
@click.option("--target", type=click.Choice(sorted(targets.TARGETS)), help="This one alone.")
def main(seconds: int, target: str | None) -> None:
    """Feed the parsers of outside bytes with what finds new branches in them."""
    failed = []
    for name in [target] if target else sorted(targets.TARGETS):
        with tempfile.TemporaryDirectory(prefix="gomr-fuzz-") as folder:
            corpus = Path(folder, "corpus")
            corpus.mkdir()
            for number, seed in enumerate(targets.SEEDS[name]):
                (corpus / str(number)).write_bytes(seed)
            options = [f"-max_total_time={seconds}", f"-max_len={LENGTH_MAX}", f"-artifact_prefix={folder}/"]
            command = [sys.executable, "-m", "tests.fuzzing", "run", name, *options, str(corpus)]
            done = subprocess.run(command, env={"TMPDIR": folder}, capture_output=True, text=True, check=False)
            found = len([*corpus.iterdir()])
        lines = done.stderr.splitlines()
        runs = next((line for line in reversed(lines) if line.startswith("Done ")), "")
        click.echo(f"{name}: {runs or 'BROKEN'}; inputs that found something new: {found}")
        if done.returncode:
            failed.append(name)
            click.echo("\n".join(line for line in [*done.stdout.splitlines(), *lines] if not line.startswith("#")))
    raise SystemExit(1 if failed else 0)


if __name__ == "__main__":
    if sys.argv[1:2] == ["run"]:
        atheris.Setup([sys.argv[0], *sys.argv[3:]], targets.TARGETS[sys.argv[2]])
        atheris.Fuzz()
    else:
        main()
