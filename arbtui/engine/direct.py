"""One path at one amount, asked for by name and not found by the search."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from arbtui.domain import Hop, Opportunity, Token
from arbtui.errors import UsageError
from arbtui.market.state import MarketState
from arbtui.search import opportunity
from arbtui.units import Address


@dataclass(frozen=True, slots=True)
class Submitted:
    """What was sent; `tx_hash` is None where the node took no attempt. The store has the rest by these ids."""

    execution_id: str
    ticket_id: str
    tx_hash: str | None


def priced(token: Token, amount: int, pools: Sequence[Address], state: MarketState) -> Opportunity:
    """`amount` base units of `token` through `pools`, in that order, priced by the chain's integers at `state`.

    Raises UsageError where the pools are unknown or do not lead back to the token, SwapReverts where one would.
    """
    here = token.address
    hops = []
    for address in pools:
        pool = state.pools.get(address)
        if pool is None or here not in (pool.token0, pool.token1):
            raise UsageError(f"pools: {address} is no known pool of {state.label(here)}")
        after = pool.token1 if here == pool.token0 else pool.token0
        hops.append(Hop(address, pool.dex, pool.kind, pool.fee_ppm, here, after))
        here = after
    if len(hops) < 2 or here != token.address:
        raise UsageError(f"pools: {len(hops)} pools that end in {state.label(here)}, not in {token.symbol}")
    return opportunity(hops, amount, state)
