"""The store's rows as polars frames.

Exact amounts stay text: base units of the row's token, wei where the name says `_wei`. A `_float` column beside one is
its twin in whole tokens (whole native coins for wei), for pictures and sorting alone: it is good to 15 digits. Times
are UTC. Where there is no store, or nothing in it, a frame has its columns and no rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import polars as pl

from arbtui.store.queries import Row, StoreReader

COIN_DECIMALS = 18
_TIME = pl.Datetime("us", "UTC")

Schema = Mapping[str, Any]

EXECUTIONS: Schema = {
    "id": pl.String,
    "run": pl.String,
    "ticket": pl.String,
    "filler": pl.Boolean,
    "status": pl.String,
    "lender": pl.String,
    "strategy": pl.String,
    "path_id": pl.String,
    "token": pl.String,
    "token_symbol": pl.String,
    "token_decimals": pl.Int64,
    "expected_profit": pl.String,
    "expected_profit_float": pl.Float64,
    "expected_net_wei": pl.String,
    "expected_net_float": pl.Float64,
    "net_wei": pl.String,
    "net_float": pl.Float64,
    "gas_used": pl.Int64,
    "gas_cost_wei": pl.String,
    "gas_cost_float": pl.Float64,
    "l1_fee_wei": pl.String,
    "loan_fee": pl.String,
    "loan_fee_float": pl.Float64,
    "reconciled": pl.Boolean,
    "attempts": pl.Int64,
    "decided_at": _TIME,
    "sent_at": _TIME,
    "mined_at": _TIME,
    "seconds": pl.Float64,
    "mined_block": pl.Int64,
    "tx_hash": pl.String,
    "error_class": pl.String,
    "reason": pl.String,
}

SETTLEMENTS: Schema = {
    "execution": pl.String,
    "ticket": pl.String,
    "run": pl.String,
    "status": pl.String,
    "lender": pl.String,
    "tx_hash": pl.String,
    "block": pl.Int64,
    "success": pl.Boolean,
    "gas_used": pl.Int64,
    "effective_gas_price_wei": pl.String,
    "gas_cost_wei": pl.String,
    "gas_cost_float": pl.Float64,
    "l1_fee_wei": pl.String,
    "loan_fee": pl.String,
    "net_wei": pl.String,
    "net_float": pl.Float64,
    "reconciled": pl.Boolean,
    "sealed": pl.Boolean,
    "difference": pl.String,
    "decided_at": _TIME,
    "mined_at": _TIME,
}

DELTAS: Schema = {
    "execution": pl.String,
    "block": pl.Int64,
    "account": pl.String,
    "role": pl.String,
    "token": pl.String,
    "token_symbol": pl.String,
    "token_decimals": pl.Int64,
    "amount": pl.String,
    "amount_float": pl.Float64,
    "mined_at": _TIME,
}

DECISIONS: Schema = {
    "id": pl.Int64,
    "run": pl.String,
    "ticket": pl.String,
    "kind": pl.String,
    "last_word": pl.Boolean,
    "reason": pl.String,
    "block": pl.Int64,
    "at": _TIME,
    "lender": pl.String,
    "token_symbol": pl.String,
    "expected_net_wei": pl.String,
    "expected_net_float": pl.Float64,
    "moved_by_block": pl.Int64,
    "moved_by_pool": pl.String,
    "moved_by_tx": pl.String,
}

QUOTES: Schema = {
    "run": pl.String,
    "opportunity": pl.String,
    "at": _TIME,
    "block": pl.Int64,
    "lender": pl.String,
    "protocol": pl.String,
    "version": pl.String,
    "token": pl.String,
    "token_symbol": pl.String,
    "token_decimals": pl.Int64,
    "amount": pl.String,
    "amount_float": pl.Float64,
    "usable": pl.Boolean,
    "chosen": pl.Boolean,
    "reason": pl.String,
    "why_lost": pl.String,
    "available": pl.String,
    "fee": pl.String,
    "fee_float": pl.Float64,
    "gas_overhead": pl.Int64,
    "gas_cost": pl.String,
    "total_cost": pl.String,
    "total_cost_float": pl.Float64,
}


def executions_frame(reader: StoreReader | None, since: str | None = None) -> pl.DataFrame:
    """A row for each execution, oldest first; what no receipt has said yet is null."""
    if reader is None:
        return _frame((), EXECUTIONS)
    with reader.snapshot():
        rows = reader.query(
            "SELECT *, ticket_id AS ticket, gas_cost AS gas_cost_wei, l1_fee AS l1_fee_wei FROM v_execution"
            " WHERE ?1 IS NULL OR decided_at >= ?1 ORDER BY decided_at, id",
            (since,),
        )
        sound = {str(row["execution_id"]) for row in reader.settlements(since) if row["sealed"]}
    for row in rows:
        row["reconciled"] = bool(row["reconciled"]) and row["id"] in sound
        row["filler"] = bool(row["filler"])
    return _frame(
        rows,
        EXECUTIONS,
        {
            "expected_profit_float": _token_twin("expected_profit"),
            "expected_net_float": _coin_twin("expected_net_wei"),
            "net_float": _coin_twin("net_wei"),
            "gas_cost_float": _coin_twin("gas_cost_wei"),
            "loan_fee_float": _token_twin("loan_fee"),
        },
    )


def settlements_frame(reader: StoreReader | None, since: str | None = None) -> pl.DataFrame:
    """A row for each settlement that stands, oldest first; `reconciled` null: nobody has compared yet."""
    rows = [] if reader is None else reader.settlements(since)
    renamed = [
        {
            **row,
            "execution": row["execution_id"],
            "ticket": row["ticket_id"],
            "effective_gas_price_wei": row["effective_gas_price"],
            "gas_cost_wei": row["gas_cost"],
            "l1_fee_wei": row["l1_fee"],
        }
        for row in rows
    ]
    twins = {"gas_cost_float": _coin_twin("gas_cost_wei"), "net_float": _coin_twin("net_wei")}
    return _frame(renamed, SETTLEMENTS, twins)


def deltas_frame(reader: StoreReader | None, since: str | None = None) -> pl.DataFrame:
    """A row for each (execution, account, token) that a standing settlement changed."""
    rows = [
        {
            "execution": settled["execution_id"],
            "block": settled["block"],
            "account": delta["account"],
            "role": delta["role"],
            "token": delta["token"]["address"],
            "token_symbol": delta["token"]["symbol"],
            "token_decimals": delta["token"]["decimals"],
            "amount": delta["amount"],
            "mined_at": settled["mined_at"],
        }
        for settled in ([] if reader is None else reader.settlements(since))
        for delta in settled["deltas"]
    ]
    return _frame(rows, DELTAS, {"amount_float": _token_twin("amount")})


def decisions_frame(reader: StoreReader | None, since: str | None = None) -> pl.DataFrame:
    """A row for each decision, oldest first; `expected_net_wei` is what its ticket's simulation promised.

    `last_word`: no later decision on the same ticket.
    """
    if reader is None:
        return _frame((), DECISIONS)
    rows = reader.query(
        "SELECT d.*, d.ticket_id AS ticket, t.lender, t.expected_net_wei, o.token_symbol,"
        " d.id = (SELECT max(l.id) FROM decision AS l WHERE l.ticket_id = d.ticket_id) AS last_word"
        " FROM decision AS d JOIN ticket AS t ON t.id = d.ticket_id"
        " JOIN opportunity AS o ON o.run = t.run AND o.id = t.opportunity_id"
        " WHERE ?1 IS NULL OR d.at >= ?1 ORDER BY d.id",
        (since,),
    )
    return _frame(rows, DECISIONS, {"expected_net_float": _coin_twin("expected_net_wei")})


def quotes_frame(reader: StoreReader | None, since: str | None = None) -> pl.DataFrame:
    """A row for each lender's answer, oldest opportunity first, the chosen lender before the others."""
    if reader is None:
        return _frame((), QUOTES)
    rows = reader.query(
        "SELECT q.*, q.opportunity_id AS opportunity, o.at, o.token_symbol, o.token_decimals"
        " FROM loan_quote AS q JOIN opportunity AS o ON o.run = q.run AND o.id = q.opportunity_id"
        " WHERE ?1 IS NULL OR o.at >= ?1 ORDER BY o.at, o.id, q.chosen DESC, q.lender",
        (since,),
    )
    return _frame(
        rows,
        QUOTES,
        {
            "amount_float": _token_twin("amount"),
            "fee_float": _token_twin("fee"),
            "total_cost_float": _token_twin("total_cost"),
        },
    )


def moment(text: str) -> datetime:
    """A time as the store writes it."""
    return datetime.fromisoformat(text).astimezone(UTC)


def whole(amount: int | str, decimals: int = COIN_DECIMALS) -> float:
    """Base units to whole tokens, for pictures: the nearest float."""
    return int(amount) / int(10**decimals)


Twin = Callable[[Row], float | None]


def _coin_twin(name: str) -> Twin:
    return lambda row: None if row[name] is None else whole(row[name])


def _token_twin(name: str) -> Twin:
    return lambda row: None if row[name] is None else whole(row[name], row["token_decimals"])


def _frame(rows: Iterable[Row], schema: Schema, twins: Mapping[str, Twin] | None = None) -> pl.DataFrame:
    twins = twins or {}
    columns: dict[str, list[Any]] = {name: [] for name in schema}
    for row in rows:
        for name, kind in schema.items():
            value: Any = twins[name](row) if name in twins else row[name]
            if value is not None:
                if kind == _TIME:
                    value = moment(value)
                elif kind == pl.Boolean:
                    value = bool(value)
            columns[name].append(value)
    return pl.DataFrame(columns, schema=dict(schema))
