from __future__ import annotations

import json

from arbtui.abi import keccak
from arbtui.domain import Fallback, FeeLadder, LenderId
from arbtui.units import Address


def new_ticket_id(run_id: str, sequence: int) -> str:
    """32 bytes as 0x text; also the contract's ticket, which it executes at most once.

    The contract keeps used tickets as bits, 256 to a word: ids of a run are dense in their last byte, so that most
    executions write a word that is in use already (5,000 gas against 22,000).
    """
    word, bit = divmod(sequence, 256)
    return "0x" + keccak(f"{run_id}|{word}".encode())[:31].hex() + f"{bit:02x}"


def digest_of(
    *,
    chain_id: int,
    wallet: Address,
    executor: Address,
    calldata: bytes,
    lender: LenderId,
    ladder: FeeLadder,
    gas_limit: int,
    min_profit: int,
    last_block: int,
    fallback: Fallback | None,
) -> str:
    """Digest of everything that is approved: who sends which bytes where, at what most, until when.

    The fallback leg is in it: what a person approves is one of exactly two transactions.
    """
    bound = {
        "calldata": "0x" + keccak(calldata).hex(),
        "chain_id": chain_id,
        "executor": executor,
        "fallback": None
        if fallback is None
        else {
            "calldata": "0x" + keccak(fallback.calldata).hex(),
            "gas_limit": fallback.gas_limit,
            "lender": str(fallback.lender),
            "min_profit": str(fallback.min_profit),
        },
        "fees": [[step.max_fee_per_gas, step.max_priority_fee_per_gas] for step in ladder.steps],
        "gas_limit": gas_limit,
        "last_block": last_block,
        "lender": str(lender),
        "min_profit": str(min_profit),
        "wallet": wallet,
    }
    return "0x" + keccak(json.dumps(bound, sort_keys=True, separators=(",", ":")).encode()).hex()
