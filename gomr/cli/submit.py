"""`gomr submit`: gives a job to the cluster."""

from typing import Any

import click

from gomr.cli.asking import asked_early
from gomr.cli.common import check_dry_run, cluster_options, dry_run_options, job_options, make_job_options, open_client

EPILOG = """\b
Examples:
  gomr submit wordcount.pex books/ --partitions 8
  gomr submit wordcount.py 's3://bucket/logs/2026/*/*.gz' --param min_count=3 --wait
  JOB=$(gomr submit wordcount.pex books/)
"""


@click.command(epilog=EPILOG)
@click.argument("job")
@click.argument("inputs", nargs=-1)
@dry_run_options
@job_options
@click.option("--wait", is_flag=True, help="Wait for the end of the job.")
@click.option("--timeout", type=float, metavar="SECONDS", help="How long to wait; the job goes on.")
@cluster_options
def command(
    job: str,
    inputs: tuple[str, ...],
    wait: bool,
    timeout: float | None,
    storage: str | None,
    coordinator: str | None,
    plugins: str | None,
    dry_run: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Submit JOB (a .py, a .pex, or any executable that keeps the job contract) to run over INPUTS.

    Prints the job id, alone, on standard output. The executable is uploaded only where its bytes are not stored yet.
    """
    check_dry_run(dry_run=dry_run, as_json=as_json)
    with asked_early(job) as inquiry, open_client(storage, coordinator, plugins) as client:
        if dry_run:
            from gomr.cli.dry_run import show_plan

            show_plan(client.plan(job, inputs, make_job_options(options), inquiry=inquiry), as_json=as_json)
            return
        from gomr.cli.progress import UploadProgress
        from gomr.cli.wait import wait_for

        with UploadProgress() as uploads:
            submitted = client.submit_in_full(job, inputs, make_job_options(options), uploads.show, inquiry=inquiry)
        stored = "uploaded" if submitted.executable_uploaded else "stored already, not uploaded again"
        click.echo(f"executable {stored}{'; the job was there already' if submitted.attached else ''}", err=True)
        click.echo(submitted.job)
        if wait:
            try:
                wait_for(client, submitted.job, timeout)
            except KeyboardInterrupt:
                click.echo(f"not waiting any more; the job goes on: gomr status {submitted.job} --watch", err=True)
                raise
