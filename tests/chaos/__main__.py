"""scripts/chaos: breaks real servers and workers for some minutes; exits 1 where a result differs."""

import secrets

import click

from tests.chaos import campaign


@click.command()
@click.option("--minutes", type=float, default=5.0, help="How long [5].")
@click.option("--seed", type=int, help="Which faults, in which order [a random one].")
@click.option("--members", type=click.Choice(["1", "3"]), default="3", help="Of the etcd [3].")
@click.option("--workers", type=click.IntRange(1), default=3, help="Of two slots each [3].")
def main(minutes: float, seed: int | None, members: str, workers: int) -> None:
    """Run jobs on real workers, etcd and SeaweedFS while they are killed, paused and cut off; compare the results."""
    report = campaign.run(minutes, secrets.randbelow(10**9) if seed is None else seed, int(members), workers)
    click.echo("\n".join(report.lines()))
    raise SystemExit(1 if report.differences or not report.jobs else 0)


if __name__ == "__main__":
    main()
