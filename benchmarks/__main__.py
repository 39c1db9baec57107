"""`python -m benchmarks NAME`."""

import json
from pathlib import Path

import click
from rich.console import Console

from benchmarks.end_to_end import measure, tables


@click.group()
def main() -> None:
    """Benchmarks. These machines are noisy: read the ratios, not the absolute figures."""


@main.command("end_to_end")
@click.option("--documents", type=click.IntRange(1), help="Push only so many documents a site.")
@click.option("--steady-seconds", type=click.IntRange(0), default=30, show_default=True, help="0: none.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write the figures to this file.")
def end_to_end(documents: int | None, steady_seconds: int, json_file: Path | None) -> None:
    """From a tablet's push to committed rows, on the field sessions or, where absent, generated ones."""
    console = Console()
    figures = measure(documents, steady_seconds, console)
    for table in tables(figures):
        console.print(table)
    text = json.dumps(figures, indent=2)
    if json_file is not None:
        json_file.parent.mkdir(parents=True, exist_ok=True)
        json_file.write_text(text + "\n")
    else:
        click.echo(text)


if __name__ == "__main__":
    main()
