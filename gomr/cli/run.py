"""`gomr run`: build, submit and work in one process, by the same code as the three commands."""

from typing import Any

import click

from gomr.cli.asking import asked_early
from gomr.cli.common import check_dry_run, cluster_options, dry_run_options, job_options, make_job_options, open_client
from gomr.cli.greeting import served_early

EPILOG = """\b
Examples:
  gomr run wordcount.py 'books/**/*.txt' -o counts.tsv
  gomr run wordcount.py books/ | sort -k2nr -t$'\\t' | head
  zcat *.gz | gomr run wordcount.py - -o counts.tsv
  gomr run wordcount.py books/ --dry-run
  gomr run ./a-job-in-c data.csv --slots 2
"""


@click.command(epilog=EPILOG)
@click.argument("job")
@click.argument("inputs", nargs=-1)
@click.option("-o", "--output", default="-", help="File for the result [-: standard output].")
@click.option("--slots", type=click.IntRange(1, 1024), help="Tasks at a time [one a processor].")
@click.option("--exec-per-task", is_flag=True, help="Execute each task anew, instead of forking it from a server.")
@dry_run_options
@job_options
@cluster_options
def command(
    job: str,
    inputs: tuple[str, ...],
    output: str,
    slots: int | None,
    exec_per_task: bool,
    storage: str | None,
    coordinator: str | None,
    plugins: str | None,
    dry_run: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Run JOB (a .py, a .pex, or any executable that keeps the job contract) over INPUTS on this machine."""
    check_dry_run(dry_run=dry_run, as_json=as_json)
    ask = asked_early if exec_per_task or dry_run else served_early
    with ask(job) as inquiry, open_client(storage, coordinator, plugins) as client:
        if dry_run:
            from gomr.cli.dry_run import show_plan

            show_plan(client.plan(job, inputs, make_job_options(options), inquiry=inquiry), as_json=as_json)
            return
        from gomr.cli.running import run_job  # what it imports takes as long as the executable's answer

        given = {"slots": slots} if slots else {}
        settings = client.worker_settings(once=True, exec_per_task=exec_per_task, **given)
        run_job(client, job, inputs, make_job_options(options), settings, output, inquiry)
