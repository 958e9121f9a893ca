"""Balances beside settlements, from one final block to the next: what does not fit, and what follows. Pure."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping

from arbtui.domain import Delta, Token
from arbtui.execution.settlement import Holdings
from arbtui.units import Address, format_amount, parse_address


def unexplained(before: Holdings, after: Holdings, told: Iterable[Delta]) -> tuple[Delta, ...]:
    """What the balances changed by over and above `told` (settlements, and differences known already), by account
    and token; nothing where all fits to the last unit. Looked at is what both holdings have.
    """
    sums: defaultdict[tuple[Address, Address], int] = defaultdict(int)
    for delta in told:
        sums[delta.account, delta.token] += delta.amount
    return tuple(
        Delta(account, token, amount)
        for account, token in sorted(before.keys() & after.keys())
        if (amount := after[account, token] - before[account, token] - sums[account, token])
    )


def describe(deltas: Iterable[Delta], roles: Mapping[Address, str], tokens: Mapping[Address, Token]) -> str:
    """Differences for a person: who, how much of what, exactly."""
    parts = []
    for delta in deltas:
        token = tokens.get(delta.token) or Token(delta.token, delta.token, 0)
        amount = format_amount(delta.amount, token.decimals)
        sign = "+" if delta.amount > 0 else ""
        who = roles.get(delta.account, "account")
        parts.append(
            f"{who} {delta.account}: {sign}{amount} {token.symbol} that no settlement explains ({delta.amount} units)"
        )
    return "; ".join(parts)


def may_send(open_differences: int) -> bool:
    """The gate: nothing new is sent while a difference is open that nobody has acknowledged."""
    return open_differences == 0


def amounts_json(deltas: Iterable[Delta]) -> str:
    """As the store keeps them: account, token, exact amount as text."""
    return json.dumps([[d.account, d.token, str(d.amount)] for d in deltas], separators=(",", ":"))


def amounts_of(text: str) -> tuple[Delta, ...]:
    """The reverse of `amounts_json`."""
    return tuple(Delta(parse_address(a), parse_address(t), int(n)) for a, t, n in json.loads(text))
