"""`arbtui nodes`: the nodes as the engine of the newest run sees them."""

from __future__ import annotations

import click

from arbtui.cli.common import config_option, emit, json_option, table
from arbtui.cli.records import family_option, store_family
from arbtui.config import load_config
from arbtui.store import open_store


@click.command()
@family_option
@config_option
@json_option
def nodes(family: str, config_file: str | None, as_json: bool) -> int:
    """The nodes as the engine sees them: state, head, latency, and what it did not believe.

    `doctor` asks the nodes itself; this is what the engine of the newest run wrote down. Exit 1 if one is not well.
    """
    config = load_config(config_file)
    with open_store(config.store.directory, store_family(family)) as reader:
        rows = reader.nodes()
    if as_json:
        emit({"nodes": rows})
    else:
        table(
            [
                "node",
                "state",
                "head",
                "behind",
                "p50 ms",
                "calls",
                "failed",
                "refused",
                "disagreed",
                "detail",
            ],
            [
                [
                    row["name"],
                    row["state"],
                    "-" if row["head"] is None else row["head"],
                    "-" if row["lag"] is None else row["lag"],
                    "-" if row["latency_ms"] is None else f"{row['latency_ms']:.1f}",
                    row["calls"],
                    row["failures"],
                    _refused(row["refused"], row["refusals"]),
                    row["disagreements"],
                    row["detail"],
                ]
                for row in rows
            ],
            right=(2, 3, 4, 5, 6, 8),
        )
        click.echo(
            f"as of block {rows[0]['block']}, {rows[0]['at']}" if rows else "no engine has told of any"
        )
    return 0 if rows and all(row["state"] == "ok" for row in rows) else 1


def _refused(total: int, kinds: dict[str, int]) -> str:
    return f"{total} ({', '.join(f'{count} {kind}' for kind, count in kinds.items())})" if total else "0"
