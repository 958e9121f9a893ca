"""What a person decides from a shell: the same command rows the desk writes."""

from __future__ import annotations

import getpass
import time
from typing import Any

import click

from arbtui.cli.common import config_option, emit, json_option, table
from arbtui.cli.records import family_option, store_family
from arbtui.config import Config, load_config
from arbtui.errors import UsageError
from arbtui.store import CommandPost, engine_pid, open_store

#: How long an answer is waited for; the engine looks for commands many times a second.
ANSWER_S = 20.0


@click.command()
@click.argument("ticket")
@family_option
@config_option
@json_option
def approve(ticket: str, family: str, config_file: str | None, as_json: bool) -> int:
    """Approve TICKET: the first hex digits of its digest, or its whole id.

    The engine quotes and simulates it again on the newest block and sends it within its floor, or says what moved.
    """
    config = load_config(config_file)
    found = _waiting(config, family, ticket)
    return _ask(config, family, "approve", {"ticket": found["id"], "digest": found["digest"]}, as_json)


@click.command()
@click.argument("ticket")
@click.option("--reason", required=True, help="Why; it is kept with the ticket.")
@family_option
@config_option
@json_option
def reject(ticket: str, reason: str, family: str, config_file: str | None, as_json: bool) -> int:
    """Reject TICKET (first hex digits of its digest, or its whole id) with a reason."""
    config = load_config(config_file)
    found = _waiting(config, family, ticket)
    return _ask(config, family, "reject", {"ticket": found["id"], "reason": reason}, as_json)


@click.command()
@click.argument("ticket")
@click.argument("name", metavar="STRATEGY")
@family_option
@config_option
@json_option
def strategy(ticket: str, name: str, family: str, config_file: str | None, as_json: bool) -> int:
    """Make TICKET anew with gas STRATEGY (conservative, balanced, aggressive, dynamic, next).

    It is another ticket, with its own ladder, worst case and digest; the old one ends. Nothing is approved by it.
    """
    config = load_config(config_file)
    found = _waiting(config, family, ticket)
    return _ask(config, family, "strategy", {"ticket": found["id"], "strategy": name}, as_json)


@click.command()
@click.argument("number", type=int, required=False)
@click.option("--reason", help="Why it is all right; it is kept.")
@family_option
@config_option
@json_option
def acknowledge(
    number: int | None, reason: str | None, family: str, config_file: str | None, as_json: bool
) -> int:
    """Say why difference NUMBER between balances and settlements is all right: sending goes on.

    Without NUMBER the open ones are listed; exit 1 if there are any.
    """
    config = load_config(config_file)
    if number is None:
        with open_store(config.store.directory, store_family(family)) as reader:
            rows = reader.open_differences()
        if as_json:
            emit({"differences": rows})
        else:
            table(
                ["number", "blocks", "what"],
                [[r["id"], f"{r['from_block'] + 1}-{r['to_block']}", r["difference"]] for r in rows],
            )
        return 1 if rows else 0
    if not reason or not reason.strip():
        raise UsageError("--reason is wanted: it is kept with the difference")
    return _ask(config, family, "acknowledge", {"id": number, "reason": reason}, as_json)


def _waiting(config: Config, family: str, given: str) -> dict[str, Any]:
    """The one undecided ticket that `given` names; at least four digits, so that no typing slip approves."""
    wanted = given.lower().removeprefix("0x")
    if len(wanted) < 4:
        raise UsageError(f"{given!r}: give at least four hex digits of the ticket's digest")
    with open_store(config.store.directory, store_family(family)) as reader:
        rows = [row for row in reader.tickets(limit=200) if row["decision"] is None]
    found = [row for row in rows if row["digest"][2:].startswith(wanted) or row["id"][2:] == wanted]
    if not found:
        raise UsageError(f"no waiting ticket begins with {given!r}; `arbtui tickets` lists them")
    if len(found) > 1:
        names = ", ".join(row["digest"][2:18] for row in found)
        raise UsageError(f"{given!r} names {len(found)} tickets; give more digits of one: {names}")
    return found[0]


def ask_engine(config: Config, family: str, kind: str, argument: dict[str, Any]) -> tuple[int, str]:
    """The number of a command written for the running engine, and what it answered. Raises UsageError without one."""
    directory = config.store.directory
    if engine_pid(directory) is None:
        raise UsageError(f"no engine is running on {directory}; nothing would take the command up")
    with CommandPost(directory, store_family(family)) as post:
        number = post.post(kind, argument | {"by": f"{getpass.getuser()} (command line)"})
        end = time.monotonic() + ANSWER_S
        while (result := post.result(number)) is None and time.monotonic() < end:
            time.sleep(0.05)
    if result is None:
        raise UsageError(
            f"the engine has not taken command {number} up within {ANSWER_S:g} s; see `arbtui tickets`"
        )
    return number, result


def _ask(config: Config, family: str, kind: str, argument: dict[str, Any], as_json: bool) -> int:
    number, result = ask_engine(config, family, kind, argument)
    if as_json:
        emit({"command": number, "kind": kind, "ticket": argument.get("ticket"), "result": result})
    else:
        click.echo(result)
    return (
        0
        if result.startswith(("sent", "approved", "rejected", "on paper", "acknowledged", "switched"))
        else 1
    )
