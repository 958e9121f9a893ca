"""What `arbtui scan --snapshot` answers: a market file searched without a node."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from arbtui.chain.presets import preset_of_chain
from arbtui.domain import Opportunity, Token
from arbtui.errors import UsageError
from arbtui.market import MarketState, Snapshot, load_snapshot
from arbtui.search import SearchResult, find_opportunities
from arbtui.units import Address

_WRAPPED_SYMBOL = "WETH"


def snapshot_scan(
    path: str | Path, bases: Sequence[str], max_hops: int, top: int | None, strict: bool
) -> dict[str, Any]:
    """The JSON of `arbtui scan` for a snapshot file.

    `bases` are symbols or addresses; none means the wrapped native coin, else the token most pools hold. `top` keeps
    the best so many of each base token. Raises SnapshotError and UsageError (exit 2).
    """
    began = time.perf_counter()
    snapshot = load_snapshot(path, strict)
    loaded = time.perf_counter()
    state = snapshot.state
    tokens = [named_token(state, text, snapshot.chain_id) for text in bases] or default_bases(snapshot)
    result = find_opportunities(state, [token.address for token in tokens], max_hops, top)
    ended = time.perf_counter()
    elapsed = {"load": loaded - began, **result.elapsed, "total": ended - began}
    return {
        **scan_json(state, result, elapsed),
        "skipped": {
            "count": snapshot.counts.skipped,
            "problems": [{"line": p.line, "reason": p.reason} for p in snapshot.problems],
        },
    }


def named_token(state: MarketState, text: str, chain_id: int | None) -> Token:
    """The token that `text` names; of several with one symbol the one that the chain's preset means by it.

    Raises UsageError as `MarketState.find_token` does.
    """
    try:
        return state.find_token(text)
    except UsageError:
        known = preset_of_chain(chain_id)
        meant = known.meant_by(text) if known else None
        if meant is None or not state.pools_of(meant):
            raise
        return state.token(meant)


def scan_json(state: MarketState, result: SearchResult, elapsed: Mapping[str, float]) -> dict[str, Any]:
    """What `arbtui scan` answers for any market; `elapsed` in seconds."""
    return {
        "block": state.block.number,
        "pools": len(state.pools),
        "tokens": len(state.traded_tokens),
        "cycles": result.cycles,
        "paying": result.paying,
        "elapsed_ms": {name: round(seconds * 1000, 3) for name, seconds in elapsed.items()},
        "opportunities": [opportunity_json(found) for found in result.opportunities],
    }


def default_bases(snapshot: Snapshot) -> list[Token]:
    """The chain's wrapped native coin where it is traded, else the token that most pools hold; none without pools."""
    state = snapshot.state
    known = preset_of_chain(snapshot.chain_id)
    if known is not None and state.pools_of(native := known.symbols[known.wrapped_native]):
        return [state.token(native)]
    try:
        wrapped = state.find_token(_WRAPPED_SYMBOL)
    except UsageError:
        wrapped = None
    if wrapped is not None and state.pools_of(wrapped.address):
        return [wrapped]
    return [state.token(address) for address in _busiest(state)]


def _busiest(state: MarketState) -> list[Address]:
    held = sorted(state.traded_tokens, key=lambda token: (-len(state.pools_of(token)), token))
    return held[:1]


def opportunity_json(found: Opportunity) -> dict[str, Any]:
    """One opportunity as `scan` shows it: amounts are decimal strings in base units."""
    return {
        "id": found.id,
        "token": {
            "address": found.token.address,
            "symbol": found.token.symbol,
            "decimals": found.token.decimals,
        },
        "amount_in": str(found.amount_in),
        "amount_out": str(found.amount_out),
        "gross_profit": str(found.gross_profit),
        "path": [
            {
                "pool": step.hop.pool,
                "dex": step.hop.dex,
                "kind": step.hop.kind.value,
                "token_in": step.hop.token_in,
                "token_out": step.hop.token_out,
                "amount_in": str(step.amount_in),
                "amount_out": str(step.amount_out),
                "impact_bps": step.impact_bps,
            }
            for step in found.hops
        ],
    }
