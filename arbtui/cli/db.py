from __future__ import annotations

from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from arbtui.cli.common import config_option, emit, json_option
from arbtui.config import load_config
from arbtui.errors import StoreError, UsageError
from arbtui.monitor.report import parse_since
from arbtui.store import Store, StoreLock, engine_pid, open_store
from arbtui.store.database import Family, metrics_path
from arbtui.store.driver import mapped, open_reader
from arbtui.store.upkeep import backup_file, export_csv, prune

FAMILIES: tuple[Family, ...] = ("live", "paper")
#: Every file of a store, without its ending.
FILES = (*FAMILIES, "journal", "market", "alerts")
family_choice = click.option(
    "--family", type=click.Choice(["live", "paper"]), default="live", show_default=True, help="Which file."
)


@click.group()
def db() -> None:
    """Check the store, copy it, export it, prune it, or bring it up to this version."""


@db.command()
@config_option
@json_option
def check(config_file: str | None, as_json: bool) -> int:
    """SQLite's own integrity check of each file; exit 1 if one is damaged.

    The journal is checked while no engine runs: it is meant to have one connection.
    """
    directory = load_config(config_file).store.directory
    found = {
        name: _checked(directory / f"{name}.sqlite")
        for name in FILES
        if (directory / f"{name}.sqlite").exists() and (name != "journal" or engine_pid(directory) is None)
    }
    if as_json:
        emit(
            {"files": {name: {"ok": not problems, "problems": problems} for name, problems in found.items()}}
        )
    else:
        for name, problems in found.items():
            click.echo(f"{directory / name}.sqlite: {'; '.join(problems) or 'ok'}")
        if not found:
            click.echo(f"there is no store in {directory}")
    return 1 if any(found.values()) else 0


def _checked(path: Path) -> list[str]:
    """What is wrong with a file: nothing, as a rule."""
    try:
        with mapped(path), closing(open_reader(path)) as connection:
            found = [str(row[0]) for row in connection.execute("PRAGMA integrity_check(10)")]
            broken = [
                f"foreign key: {row['table']} row {row['rowid']}"
                for row in connection.execute("PRAGMA foreign_key_check")
            ]
    except StoreError as error:
        return [str(error).removeprefix(str(path)).lstrip(" :")]
    return [line for line in found if line != "ok"] + broken


@db.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--family",
    type=click.Choice(["live", "paper", "journal"]),
    default="live",
    show_default=True,
    help="Which file; the journal only while no engine runs.",
)
@config_option
def backup(file: Path, family: str, config_file: str | None) -> int:
    """Copy a file of the store to FILE, whole and checked, while the engine works.

    The journal holds signed transactions: keep its copy as you would a key.
    """
    directory = load_config(config_file).store.directory
    source = directory / f"{family}.sqlite"
    if not source.exists():
        raise StoreError(f"there is no {source} to copy; --family names another")
    if family == "journal":
        with StoreLock(directory):
            size = backup_file(source, file)
    else:
        size = backup_file(source, file)
    click.echo(f"{file}: {size:,} bytes", err=True)
    return 0


@db.command()
@click.argument("folder", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
@click.option("--format", "kind", type=click.Choice(["csv", "parquet"]), default="csv", show_default=True)
@click.option("--table", "tables", multiple=True, help="Only this table or view; may be given several times.")
@family_choice
@config_option
@json_option
def export(
    folder: Path, kind: str, tables: tuple[str, ...], family: str, config_file: str | None, as_json: bool
) -> int:
    """Write every table and view into DIR, one file each, all of one moment. Parquet needs arbtui[notebook]."""
    directory = load_config(config_file).store.directory
    with open_store(directory, "live" if family == "live" else "paper") as reader:
        if kind == "parquet":
            try:
                from arbtui.analysis.export import export_parquet
            except ImportError:
                raise UsageError("parquet needs the extra: pip install 'arbtui[notebook]'") from None
            written = export_parquet(reader, folder, tables)
        else:
            written = export_csv(reader, folder, tables)
    if as_json:
        emit({"folder": str(folder), "rows": written})
    else:
        click.echo(f"{sum(written.values()):,} rows of {len(written)} tables and views in {folder}", err=True)
    return 0


@db.command("prune")
@click.option("--older", metavar="DURATION|ISO", required=True, help="Such as 90d: what is older may go.")
@click.option("--vacuum", is_flag=True, help="Also make the file smaller; needs as much free space again.")
@family_choice
@config_option
@json_option
def prune_command(older: str, vacuum: bool, family: str, config_file: str | None, as_json: bool) -> int:
    """Take dropped opportunities and empty blocks of old whole days away; counts and exact sums of them stay.

    Never tickets, decisions, executions, settlements, incidents or the journal. No engine may be running.
    """
    directory = load_config(config_file).store.directory
    before = datetime.fromisoformat(parse_since(older)).date()
    which: Family = "live" if family == "live" else "paper"
    days: list[dict[str, Any]] = []
    with StoreLock(directory):
        Store.open(directory, which, create=False).close()
        for pruned in prune(metrics_path(directory, which), before, vacuum=vacuum):
            days.append({"day": pruned.day, "opportunities": pruned.opportunities, "rows": pruned.rows})
            if not as_json:
                click.echo(
                    f"{pruned.day}: {pruned.rows:,} rows, {pruned.opportunities:,} opportunities", err=True
                )
    if as_json:
        emit({"before": before.isoformat(), "days": days})
    elif not days:
        click.echo(f"nothing before {before.isoformat()}", err=True)
    return 0


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
