"""`recover`: what journal and chain say of everything that is not final, and what a start will do about it."""

from __future__ import annotations

import asyncio
import getpass
from typing import Any

import click

from arbtui.approval import ApproveMode
from arbtui.bootstrap import Desk, open_desk, open_engine
from arbtui.cli.common import config_option, emit, json_option, table
from arbtui.cli.decide import ask_engine
from arbtui.config import Config, load_config
from arbtui.domain import AttemptKind, BlockRef, Delivery, Stage, Visibility
from arbtui.errors import StoreError, UsageError
from arbtui.execution import OpenExecution
from arbtui.store import CommandPost, SqliteJournal, StoreLock, engine_pid
from arbtui.store.database import metrics_path
from arbtui.store.journal import FILE_NAME


@click.command()
@click.option(
    "--resume",
    is_flag=True,
    help="Settle, send again or cancel until nothing is open; makes no tickets. On a local chain.",
)
@click.option("--acknowledge", is_flag=True, help="You have looked at why the account is stopped: go on.")
@click.option(
    "--for",
    "seconds",
    type=click.FloatRange(min=0, min_open=True),
    default=120.0,
    show_default=True,
    help="With --resume: give up after so many seconds.",
)
@config_option
@json_option
def recover(resume: bool, acknowledge: bool, seconds: float, config_file: str | None, as_json: bool) -> int:
    """Show what is not final: the journal's word, the chain's, and what a start will do.

    Exit 1 while something is open or the account is stopped.
    """
    config = load_config(config_file)
    if acknowledge:
        return _acknowledge(config, as_json)
    if resume:
        asyncio.run(_resume(config, seconds))
    answer = asyncio.run(_compare(config))
    if as_json:
        emit(answer)
    else:
        _show(answer)
    return 1 if answer["open"] or answer["stopped"] else 0


def _acknowledge(config: Config, as_json: bool) -> int:
    directory, by = config.store.directory, f"{getpass.getuser()} (command line)"
    if engine_pid(directory) is not None:
        _, result = ask_engine(config, "live", "acknowledge", {})
    else:
        _require_journal(config)
        with (
            StoreLock(directory),
            SqliteJournal(directory, config.chain.chain_id, config.wallet.address) as journal,
        ):
            if journal.stopped() is None:
                result = "refused: the account is not stopped"
            else:
                journal.acknowledge(by)
                result = "acknowledged"
                # The journal's word is the one that counts. The metrics file is told for those who watch it: alerts.
                if metrics_path(directory, "live").exists():
                    try:
                        with CommandPost(directory, "live") as post:
                            post.done("acknowledge", {"by": by}, result)
                    except StoreError as error:
                        click.echo(f"the store could not be told: {error}", err=True)
    if as_json:
        emit({"result": result})
    else:
        click.echo(result)
    return 0 if result == "acknowledged" else 1


def _require_journal(config: Config) -> None:
    if not (config.store.directory / FILE_NAME).exists():
        raise UsageError(f"there is no journal in {config.store.directory}: nothing was ever sent from it")


async def _resume(config: Config, seconds: float) -> None:
    async with open_engine(
        config, Stage.LIVE, ApproveMode.NONE, lambda line: click.echo(line, err=True)
    ) as engine:
        await engine.recover(seconds)


async def _compare(config: Config) -> dict[str, Any]:
    """Under the store's lock: no other connection reads a journal while an engine writes it."""
    _require_journal(config)
    async with open_desk(config) as desk:
        genesis = (await desk.node.block(0)).hash
        with (
            StoreLock(config.store.directory),
            SqliteJournal(
                config.store.directory, config.chain.chain_id, config.wallet.address, genesis=genesis
            ) as journal,
        ):
            open_, unfinished, stopped = (
                journal.open_executions(),
                journal.unfinished(),
                journal.stopped(),
            )
        head = await desk.node.block()
        nonce = await desk.node.nonce(config.wallet.address)
        rows = [await _row(desk, known, head, nonce, is_open=True) for known in open_]
        rows += [await _row(desk, known, head, nonce, is_open=False) for known in unfinished]
    return {
        "head": head.number,
        "wallet": config.wallet.address,
        "next_nonce": nonce,
        "stopped": stopped,
        "open": len(open_),
        "executions": rows,
    }


async def _row(
    desk: Desk, known: OpenExecution, head: BlockRef, nonce: int, *, is_open: bool
) -> dict[str, Any]:
    attempts: list[dict[str, Any]] = []
    landed = pending = ""
    for attempt in known.attempts:
        receipt = await desk.node.receipt(attempt.tx_hash)
        if receipt is not None:
            landed = says = f"mined in block {receipt.block_number}, " + (
                "success" if receipt.success else "reverted"
            )
        elif await desk.node.knows(attempt.tx_hash):
            pending = says = "pending"
        else:
            says = "unknown"
        attempts.append(
            {
                "number": attempt.number,
                "kind": attempt.kind.value,
                "tx_hash": attempt.tx_hash,
                "max_fee_per_gas": str(attempt.max_fee_per_gas),
                "max_priority_fee_per_gas": str(attempt.max_priority_fee_per_gas),
                "delivery": attempt.delivery.value,
                "visibility": attempt.visibility.value,
                "chain": says,
            }
        )
    return {
        "id": known.intent.execution_id,
        "ticket": known.intent.ticket_id,
        "status": known.status.value,
        "nonce": known.nonce,
        "last_block": known.intent.last_block,
        "attempts": attempts,
        "will": _will(known, head, nonce, landed, pending, is_open=is_open),
    }


def _will(
    known: OpenExecution, head: BlockRef, nonce: int, landed: str, pending: str, *, is_open: bool
) -> str:
    """What a start does about it, in one line."""
    if not known.attempts:
        return "end it: nothing was signed"
    if not is_open:
        return (
            "follow it until no reorganisation can undo it"
            if landed
            else "look whether its block still stands"
        )
    if landed:
        return "settle it"
    if known.nonce is not None and nonce > known.nonce:
        return "stop the account: a transaction that is not ours used the nonce"
    if head.number >= known.intent.last_block:
        doubt = any(a.delivery not in (Delivery.REJECTED, Delivery.NOT_DELIVERED) for a in known.attempts)
        return "cancel it: its last block has passed" if doubt else "give its nonce back: no node ever had it"
    if pending:
        return "wait for it, and bump it within its approved ladder"
    last = known.attempts[-1]
    where = "to the relay" if last.visibility is Visibility.PRIVATE else "to the node"
    what = "the cancel" if last.kind is AttemptKind.CANCEL else "the same bytes"
    return f"send {what} again {where}"


def _show(answer: dict[str, Any]) -> None:
    if answer["stopped"]:
        click.echo(f"stopped: {answer['stopped']}; `arbtui recover --acknowledge` goes on")
    if not answer["executions"]:
        click.echo("nothing is open, and every outcome is final")
        return
    rows: list[list[object]] = []
    for row in answer["executions"]:
        for attempt in row["attempts"] or [None]:
            first = attempt is None or attempt["number"] == 1
            rows.append(
                [
                    row["id"][:9] if first else "",
                    row["status"] if first else "",
                    "-" if row["nonce"] is None else row["nonce"],
                    "-" if attempt is None else f"{attempt['kind']} {attempt['tx_hash'][:10]}",
                    "-" if attempt is None else attempt["delivery"],
                    "-" if attempt is None else attempt["chain"],
                    row["will"] if first else "",
                ]
            )
    table(["id", "status", "nonce", "attempt", "journal", "chain", "a start will"], rows, right=(2,))
