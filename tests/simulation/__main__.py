"""scripts/simulate: runs seeds, puts bugs in, replays one seed; exits 1 where something that must hold did not."""

from pathlib import Path

import click

from gomr.logs import log
from tests.simulation import campaign
from tests.simulation import herd as herds
from tests.simulation.mutants import BY_NAME
from tests.simulation.world import World

RECORD = Path(__file__).with_name("record.jsonl")
EPILOG = """\b
Examples:
  scripts/simulate --seeds 20000 --jobs 2            a minute or ten; --remember adds it to the record of all runs
  scripts/simulate --mutants --seeds 10000           each bug that is put in must be found
  scripts/simulate --mutant fold-twice --seeds 500
  scripts/simulate --herd 10000 --tasks 20000        workers that wake up at once: how many claims come too late
  scripts/simulate --replay 1234                     what happened with one seed, step by step
"""


@click.command(epilog=EPILOG)
@click.option("--seeds", type=click.IntRange(1), default=1000, help="How many [1000].")
@click.option("--first", type=click.IntRange(0), help="The first one [from the commit's hash].")
@click.option("--jobs", type=click.IntRange(1), default=1, help="Processes [1].")
@click.option("--mutant", type=click.Choice(sorted(BY_NAME)), help="Put this bug in; stop when it is found.")
@click.option("--mutants", is_flag=True, help="Put each bug in, one after the other.")
@click.option("--replay", type=click.IntRange(0), help="Run this seed alone and print every change.")
@click.option("--herd", type=click.IntRange(1), help="So many workers wake up at once for one stage, without faults.")
@click.option("--tasks", type=click.IntRange(1), default=20_000, help="Of that stage [20000].")
@click.option("--remember", is_flag=True, help=f"Add a line to {RECORD.name}.")
def main(
    seeds: int,
    first: int | None,
    jobs: int,
    mutant: str | None,
    mutants: bool,
    replay: int | None,
    herd: int | None,
    tasks: int,
    remember: bool,
) -> None:
    """Simulate gomr's core: virtual time, one process, all faults from one seed."""
    if herd is not None:
        log.configure([], "error")
        click.echo("\n".join(herds.run(herd, tasks).lines()))
        return
    if replay is not None:
        raise SystemExit(_replay(replay))
    commit = campaign.commit()  # of the code that is loaded: another may be checked out before the end
    start = int(commit, 16) if first is None else first
    if mutants or mutant:
        names = [mutant] if mutant else sorted(BY_NAME)
        raise SystemExit(_find(names, start, seeds, jobs))
    report = campaign.run(start, seeds, jobs)
    click.echo(f"seeds {start} to {start + seeds - 1}, commit {commit}")
    click.echo("\n".join(report.lines()))
    if remember:
        campaign.remember(report, RECORD, commit)
        total = campaign.remembered(RECORD)
        click.echo(f"with all runs so far: {total['seeds']} seeds, {total['virtual_hours']:.0f} virtual hours")
    raise SystemExit(1 if report.violations else 0)


def _find(names: list[str], start: int, seeds: int, jobs: int) -> int:
    missed = 0
    for name in names:
        report = campaign.run(start, seeds, jobs, name, until_found=True)
        if report.violations:
            seed, text = report.violations[0]
            click.echo(f"{name}: found after {seed - start + 1} seeds, in {report.seconds:.0f} s: {text[:120]}")
        else:
            missed += 1
            click.echo(f"{name}: NOT FOUND in {report.seeds} seeds")
    click.echo(f"{len(names) - missed} of {len(names)} bugs found")
    return 1 if missed else 0


def _replay(seed: int) -> int:
    log.configure([], "error")
    world = World(seed, on_step=click.echo)
    outcome = world.run()
    click.echo("\n".join(outcome.violations) or "no violation")
    click.echo(f"digest of all that happened: {outcome.digest}")
    return 1 if outcome.violations else 0


if __name__ == "__main__":
    main()
