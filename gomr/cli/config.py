"""`gomr config`: the settings, and where each comes from."""

import click

from gomr.cli.common import cluster_options, print_json, print_table

EPILOG = """\b
Settings come from flags, then the environment, ./gomr.toml, the user's config.toml, /etc/gomr/config.toml, defaults.
Examples:
  gomr config
  GOMR_STORAGE=s3://bucket/prefix gomr config --json
"""


@click.command(epilog=EPILOG)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@cluster_options
def command(as_json: bool, storage: str | None, coordinator: str | None, plugins: str | None) -> None:
    """Show every setting, its value (secrets masked) and its origin."""
    from gomr.config import Config

    shown = Config({"storage": storage, "coordinator": coordinator, "plugins": plugins}).shown()
    if as_json:
        print_json(
            {
                setting.name: {"value": value.value, "origin": value.origin, "about": setting.summary}
                for setting, value in shown
            }
        )
        return
    print_table(
        ("setting", "value", "origin"),
        [(setting.name, value.value if value.value is not None else "-", value.origin) for setting, value in shown],
    )
