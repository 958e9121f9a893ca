"""Calldata of the executor contract (contracts/src/IExecutor.sol)."""

from __future__ import annotations

from arbtui.abi import decode, encode_call, selector
from arbtui.domain import LENDER_CODES, LenderId, Opportunity, PoolKind
from arbtui.errors import MalformedAnswer
from arbtui.units import Address

EXECUTE = "execute((bytes32,uint8,address,uint256,uint256,uint256,(address,uint8,bool,uint24)[]))"
_PLAN = "(bytes32,uint8,address,uint256,uint256,uint256,(address,uint8,bool,uint24)[])"
_KIND_CODES = {PoolKind.UNISWAP_V2: 0, PoolKind.UNISWAP_V3: 1}


def encode_execute(
    ticket_id: str,
    lender: LenderId,
    opportunity: Opportunity,
    min_profit: int,
    last_block: int,
    source: Address | None = None,  # noqa: ARG001 - this executor's lenders are immutable
) -> bytes:
    """`min_profit` in base units of the opportunity's token, net of the loan fee; `last_block` a block number."""
    plan = (
        bytes.fromhex(ticket_id[2:]),
        LENDER_CODES[lender],
        opportunity.token.address,
        opportunity.amount_in,
        min_profit,
        last_block,
        [(hop.pool, _KIND_CODES[hop.kind], hop.zero_for_one, hop.fee_ppm) for hop in opportunity.path.hops],
    )
    return encode_call(EXECUTE, plan)


def decode_execute(calldata: bytes) -> dict[str, object]:
    """What the bytes say, for showing beside what was meant; raises MalformedAnswer if they are not ours."""
    if calldata[:4] != selector(EXECUTE):
        raise MalformedAnswer("calldata: not a call of Executor.execute")
    ((ticket, lender, asset, amount_in, min_profit, last_block, hops),) = decode(
        [_PLAN], calldata[4:], "Executor.execute"
    )
    return {
        "ticket": "0x" + ticket.hex(),
        "lender": next((str(name) for name, code in LENDER_CODES.items() if code == lender), str(lender)),
        "asset": asset,
        "amount_in": amount_in,
        "min_profit": min_profit,
        "last_block": last_block,
        "hops": [
            {"pool": pool, "kind": kind, "zero_for_one": zero_for_one, "fee_ppm": fee}
            for pool, kind, zero_for_one, fee in hops
        ],
    }
