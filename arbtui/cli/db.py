from __future__ import annotations

import click

from arbtui.cli.common import config_option, emit, json_option
from arbtui.config import load_config
from arbtui.store import Store, StoreLock, open_store
from arbtui.store.database import Family, metrics_path

FAMILIES: tuple[Family, ...] = ("live", "paper")


@click.group()
def db() -> None:
    """Check the store, or bring it up to this version."""


@db.command()
@config_option
@json_option
def check(config_file: str | None, as_json: bool) -> int:
    """SQLite's own integrity check of each metrics file; exit 1 if one is damaged."""
    directory = load_config(config_file).store.directory
    found = {}
    for family in FAMILIES:
        if metrics_path(directory, family).exists():
            with open_store(directory, family) as reader:
                found[family] = reader.check()
    if as_json:
        emit(
            {"files": {name: {"ok": not problems, "problems": problems} for name, problems in found.items()}}
        )
    else:
        for name, problems in found.items():
            click.echo(f"{metrics_path(directory, name)}: {'; '.join(problems) or 'ok'}")
        if not found:
            click.echo(f"there is no store in {directory}")
    return 1 if any(found.values()) else 0


@db.command()
@config_option
def migrate(config_file: str | None) -> int:
    """Bring each metrics file up to this version's schema. No engine may be running."""
    directory = load_config(config_file).store.directory
    with StoreLock(directory):
        for family in FAMILIES:
            if metrics_path(directory, family).exists():
                Store.open(directory, family, create=False).close()
                click.echo(f"{metrics_path(directory, family)} is up to date")
    return 0
