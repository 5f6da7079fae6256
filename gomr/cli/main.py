"""`gomr`: finds the command, runs it, and turns errors into sentences and exit statuses.

Exit statuses: 0 done; 1 the job failed, or an error of no other class; 2 wrong use; 3 configuration or plugin;
4 not found; 5 a back end is out of reach or full (trying again may help); 6 the job was cancelled; 124 --timeout;
130 interrupted.
"""

import gc
import importlib
import sys

import click

from gomr.errors import ConfigurationError, CoordinatorError, Denied, GomrError, StorageError
from gomr.job.version import VERSION

COMMANDS = [
    *("run", "build", "submit", "worker"),
    *("status", "top", "web", "jobs", "workers", "tasks", "result", "logs"),
    *("cancel", "pause", "resume", "rerun", "rm", "gc"),
    *("plugins", "doctor", "config", "dev", "completion"),
]
EXIT_UNAVAILABLE = 5
NO_THREAD = "can't start new thread"  # all that Python says of it
EXIT_INTERRUPTED = 130
STATUSES = """\b
Exit status: 0 done; 1 the job failed; 2 wrong use; 3 configuration or plugin; 4 not found;
5 a back end is out of reach or full; 6 the job was cancelled; 124 --timeout; 130 interrupted.

\b
Examples:
  gomr run wordcount.py 'books/**/*.txt' -o counts.tsv
  gomr submit wordcount.pex s3://bucket/books/ --wait
  gomr worker --slots 4
"""


class LazyGroup(click.Group):
    """Imports a command's module when the command is used: `gomr --help` loads none of them but their names."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the commands in the order in which people need them."""
        return COMMANDS

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's
        """Import one command."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"gomr.cli.{cmd_name}").command
        return command


@click.group(cls=LazyGroup, epilog=STATUSES, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(VERSION, prog_name="gomr")
def cli() -> None:
    """Master-less MapReduce: a job file becomes an executable, and workers that nobody leads run it."""


def main() -> None:
    """Run the command line and exit."""
    try:
        status = run()
    except KeyboardInterrupt:
        click.echo("interrupted", err=True)
        status = EXIT_INTERRUPTED
    gc.freeze()  # all goes with the process: to look for garbage in it first would take 17 ms of every command
    sys.exit(status)


def run() -> int:
    """Run the command line; return the exit status. The one place where errors become sentences."""
    try:
        result = cli.main(standalone_mode=False)
    except click.exceptions.Exit as error:
        return error.exit_code
    except click.Abort:
        raise KeyboardInterrupt from None
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except GomrError as error:
        click.echo(f"gomr: {error}", err=True)
        return error.exit_status
    except Denied as error:
        click.echo(f"gomr: {error}", err=True)
        return ConfigurationError.exit_status
    except (StorageError, CoordinatorError, OSError) as error:
        click.echo(f"gomr: {error}", err=True)
        return EXIT_UNAVAILABLE
    except RuntimeError as error:
        if str(error) != NO_THREAD:
            raise
        click.echo("gomr: this machine lets gomr start no thread: raise the limit of processes (ulimit -u)", err=True)
        return EXIT_UNAVAILABLE
    return result if isinstance(result, int) else 0
