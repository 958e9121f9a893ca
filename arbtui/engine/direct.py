"""One path at one amount, asked for by name and not found by the search."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from arbtui.domain import Hop, HopAmount, Opportunity, Path, Token
from arbtui.errors import UsageError
from arbtui.market.state import MarketState
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
    here, held = token.address, amount
    amounts = []
    for address in pools:
        pool = state.pools.get(address)
        if pool is None or here not in (pool.token0, pool.token1):
            raise UsageError(f"pools: {address} is no known pool of {state.label(here)}")
        after = pool.token1 if here == pool.token0 else pool.token0
        swap = pool.swap_exact_in(here, held)
        hop = Hop(address, pool.dex, pool.kind, pool.fee_ppm, here, after)
        amounts.append(HopAmount(hop, held, swap.amount_out, math.ceil(swap.price_impact_bps)))
        here, held = after, swap.amount_out
    if len(amounts) < 2 or here != token.address:
        raise UsageError(
            f"pools: {len(amounts)} pools that end in {state.label(here)}, not in {token.symbol}"
        )
    path = Path(tuple(item.hop for item in amounts))
    return Opportunity(path, token, amount, held, tuple(amounts), state.block)
