"""scripts/random-jobs: runs random jobs and compares each with a plain loop; exits 1 where one differs."""

import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import click

from gomr.job.contract import Piece
from tests.random_jobs.case import Case
from tests.random_jobs.running import HASH_SEED, check, run_here

CASES_AT_A_TIME = 50


@click.group(invoke_without_command=True)
@click.option("--cases", type=click.IntRange(1), default=1000, help="How many [1000].")
@click.option("--first", type=click.IntRange(0), default=0, help="The seed of the first one [0].")
@click.option("--jobs", type=click.IntRange(1), default=1, help="Processes [1].")
@click.pass_context
def main(context: click.Context, cases: int, first: int, jobs: int) -> None:
    """Run random jobs under random splits, partitions, planes and processes."""
    if context.invoked_subcommand:
        return
    if os.environ.get("PYTHONHASHSEED") != HASH_SEED:  # as the tasks that are executed
        os.environ["PYTHONHASHSEED"] = HASH_SEED
        os.execv(sys.executable, [sys.executable, "-m", "tests.random_jobs", *sys.argv[1:]])
    started = time.monotonic()
    starts = range(first, first + cases, CASES_AT_A_TIME)
    with ProcessPoolExecutor(jobs) as pool:
        stops = [min(start + CASES_AT_A_TIME, first + cases) for start in starts]
        failures = [failure for found in pool.map(_check_some, starts, stops) for failure in found]
    for failure in failures:
        click.echo(failure)
    click.echo(f"{cases} cases from seed {first}: {len(failures)} differ; {time.monotonic() - started:.0f} s")
    raise SystemExit(1 if failures else 0)


@main.command(hidden=True, context_settings={"ignore_unknown_options": True})
@click.argument("seed", type=int)
@click.argument("kind")
@click.argument("folder", type=Path)
@click.argument("has_core", type=bool)
@click.argument("budget", type=int)
@click.argument("pieces", nargs=-1)
def task(seed: int, kind: str, folder: Path, has_core: bool, budget: int, pieces: tuple[str, ...]) -> None:
    """Run one task in this interpreter."""
    places = [Piece(pieces[at], int(pieces[at + 1]), int(pieces[at + 2])) for at in range(0, len(pieces), 3)]
    run_here(Case(seed), kind, folder, has_core, budget, places)


def _check_some(first: int, stop: int) -> list[str]:
    failures = []
    for seed in range(first, stop):
        try:
            check(seed)
        except Exception as error:
            failures.append(f"seed {seed}: {type(error).__name__}: {error}")
    return failures


main()
