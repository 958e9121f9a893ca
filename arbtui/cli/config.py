from __future__ import annotations

import click

from arbtui.cli.common import config_option
from arbtui.config import find_config, load_config


@click.group()
def config() -> None:
    """Show or check the configuration."""


@config.command()
@config_option
def check(config_file: str | None) -> None:
    """Say whether the configuration is valid; every violation, one a line, exit 2, if it is not."""
    load_config(config_file)
    click.echo(f"{find_config(config_file)} is valid")


@config.command()
@config_option
def show(config_file: str | None) -> None:
    """The whole configuration with its defaults, as JSON; secrets stay hidden."""
    click.echo(load_config(config_file).model_dump_json(indent=2))
