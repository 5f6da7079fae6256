"""`gomr completion`: the script that completes gomr's commands in a shell."""

import click
from click.shell_completion import get_completion_class

EPILOG = """\b
Examples:
  gomr completion bash >> ~/.bashrc
  gomr completion zsh >> ~/.zshrc
  gomr completion fish > ~/.config/fish/completions/gomr.fish
"""


@click.command(epilog=EPILOG)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print the completion script for SHELL."""
    from gomr.cli.main import cli

    kind = get_completion_class(shell)
    assert kind is not None, shell
    click.echo(kind(cli, {}, "gomr", "_GOMR_COMPLETE").source())
