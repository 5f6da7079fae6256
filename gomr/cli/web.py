"""`gomr web`: the page that shows jobs, tasks, workers and logs."""

import os

import click

from gomr.cli.common import cluster_options, open_client

EPILOG = """\b
Examples:
  gomr web                                        http://localhost:8181/
  gomr web --read-only --port 8080
  GOMR_WEB_TOKEN=... gomr web --host 0.0.0.0 --token
"""


@click.command(epilog=EPILOG)
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen at.")
@click.option("--port", default=8181, show_default=True, type=click.IntRange(0, 65535), help="The port; 0: any free.")
@click.option("--token", "wants_token", is_flag=True, help="Let in who has GOMR_WEB_TOKEN, or else a new token.")
@click.option("--read-only", is_flag=True, help="Show, and take no actions.")
@cluster_options
def command(
    host: str,
    port: int,
    wants_token: bool,
    read_only: bool,
    storage: str | None,
    coordinator: str | None,
    plugins: str | None,
) -> None:
    """Show jobs, tasks, workers and logs in a browser. It may be stopped and started at any time."""
    from gomr.web.guard import Access
    from gomr.web.server import address, check, listen, make_token, serve

    token = (os.environ.get("GOMR_WEB_TOKEN") or make_token()) if wants_token else ""
    access = Access(host, token, read_only)
    check(access)
    with open_client(storage, coordinator, plugins) as client:
        _ = client.cluster  # a cluster that does not answer, or does not fit, is told of now
        listening = listen(host, port)
        click.echo(f"gomr web: {address(listening, access)}", err=True)
        serve(client, access, listening)
