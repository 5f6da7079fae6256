"""`gomr plugins`: the plugins and what they offer."""

from dataclasses import asdict

import click

from gomr.cli.common import plugins_option, print_json, print_table

EPILOG = """\b
Examples:
  gomr plugins
  gomr plugins --plugins ./my_plugin.py --json
"""


@click.command(epilog=EPILOG)
@plugins_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(plugins: str | None, as_json: bool) -> None:
    """List the plugins: name, version, hooks, URL schemes, where each comes from."""
    from gomr.config import Config
    from gomr.plugins import BUILTIN, Plugins

    infos = Plugins(Config({"plugins": plugins}).items("plugins")).infos()
    if as_json:
        print_json([asdict(info) for info in infos])
        return
    print_table(
        ("plugin", "version", "hooks", "schemes", "path"),
        [
            (
                info.name,
                "built in" if info.name in BUILTIN else info.version or "-",
                " ".join(info.hooks),
                " ".join(info.schemes) or "-",
                info.path,
            )
            for info in infos
        ],
    )
