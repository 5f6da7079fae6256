"""`gomr build`: packs a job file into an executable."""

from pathlib import Path

import click

from gomr.cli.common import print_json

EPILOG = """\b
Examples:
  gomr build wordcount.py
  gomr build wordcount.py -o /tmp/wc.pex --requirement requirements.txt
"""


@click.command(epilog=EPILOG)
@click.argument("job_file", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), help="The executable to write [NAME.pex].")
@click.option("--requirement", type=click.Path(path_type=Path), help="Dependencies, instead of the PEP 723 block.")
@click.option("--include", multiple=True, type=click.Path(path_type=Path), help="A file or folder to pack as well.")
@click.option("--pure", is_flag=True, help="Leave out the native core (gomr-native), where it is installed.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(
    job_file: Path, output: Path | None, requirement: Path | None, include: tuple[Path, ...], pure: bool, as_json: bool
) -> None:
    """Pack JOB_FILE, the modules beside it that it imports, and its dependencies into one executable.

    Prints the path and the SHA-256 digest. The same sources give the same digest, wherever they are built.
    """
    from gomr.build import build
    from gomr.config import Config
    from gomr.executables import ensure_temporary_folder

    cache_dir = Config().path("cache_dir", executes=True)
    ensure_temporary_folder(cache_dir)
    built = build(job_file, output, cache_dir=cache_dir, requirements=requirement, include=include, pure=pure)
    if built.cached:
        click.echo("unchanged since an earlier build", err=True)
    if as_json:
        print_json({"path": str(built.path), "digest": built.digest, "cached": built.cached, **built.describe})
    else:
        click.echo(f"{built.path} {built.digest}")
