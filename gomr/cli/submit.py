"""`gomr submit`: gives a job to the cluster."""

from typing import Any

import click

from gomr.cli.asking import asked_early
from gomr.cli.common import cluster_options, job_options, make_job_options, open_client

EPILOG = """\b
Examples:
  gomr submit wordcount.pex books/ --partitions 8
  gomr submit wordcount.py 's3://bucket/logs/2026/*/*.gz' --param min_count=3 --wait
  JOB=$(gomr submit wordcount.pex books/)
"""


@click.command(epilog=EPILOG)
@click.argument("job")
@click.argument("inputs", nargs=-1)
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
    **options: Any,
) -> None:
    """Submit JOB (a .py, a .pex, or any executable that keeps the job contract) to run over INPUTS.

    Prints the job id, alone, on standard output. The executable is uploaded only where its bytes are not stored yet.
    """
    with asked_early(job) as inquiry, open_client(storage, coordinator, plugins) as client:
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
