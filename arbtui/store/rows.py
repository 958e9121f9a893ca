"""How domain values are written as rows: exact numbers as text, lists as JSON."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from arbtui.abi import keccak
from arbtui.domain import Fallback, FeeLadder, Opportunity


def whole(value: int | None) -> str | None:
    """An exact number as the text that the schema's checks demand."""
    return None if value is None else str(int(value))


def path_json(opportunity: Opportunity) -> str:
    """The hops in order with their amounts."""
    return json.dumps(
        [
            {
                "pool": step.hop.pool,
                "dex": step.hop.dex,
                "kind": step.hop.kind.value,
                "fee_ppm": int(step.hop.fee_ppm),
                "token_in": step.hop.token_in,
                "token_out": step.hop.token_out,
                "amount_in": str(step.amount_in),
                "amount_out": str(step.amount_out),
                "impact_bps": step.impact_bps,
            }
            for step in opportunity.hops
        ],
        separators=(",", ":"),
    )


def ladder_json(ladder: FeeLadder) -> str:
    """The fee ladder; prices and costs in wei as text, `after_s` in seconds."""
    return json.dumps(
        {
            "strategy": ladder.strategy,
            "gas_limit": ladder.gas_limit,
            "base_fee_per_gas": str(ladder.base_fee_per_gas),
            "worst_cost": str(ladder.worst_cost),
            "cancel_headroom": str(ladder.cancel_headroom),
            "guaranteed_blocks": ladder.guaranteed_blocks,
            "ceiling": str(ladder.ceiling),
            "capped": ladder.capped,
            "chosen": ladder.chosen,
            "why": ladder.why,
            "steps": [
                {
                    "attempt": step.attempt,
                    "max_fee_per_gas": str(step.max_fee_per_gas),
                    "max_priority_fee_per_gas": str(step.max_priority_fee_per_gas),
                    "after_s": step.after_s,
                    "worst_cost": str(step.worst_cost),
                    "guaranteed_blocks": step.guaranteed_blocks,
                    "guaranteed_until": step.guaranteed_until,
                    "observed_share": step.observed_share,
                }
                for step in ladder.steps
            ],
        },
        separators=(",", ":"),
    )


def fallback_json(fallback: Fallback | None) -> str | None:
    """The other leg; profits in base units and wei as text, None where there is none."""
    if fallback is None:
        return None
    return json.dumps(
        {
            "lender": fallback.lender.value,
            "calldata": "0x" + fallback.calldata.hex(),
            "calldata_hash": "0x" + keccak(fallback.calldata).hex(),
            "gas_limit": fallback.gas_limit,
            "min_profit": str(fallback.min_profit),
            "expected_profit": str(fallback.expected_profit),
            "expected_gas": fallback.expected_gas,
            "expected_net_wei": str(fallback.expected_net_wei),
        },
        separators=(",", ":"),
    )


_SEALED = (
    "execution_id",
    "tx_hash",
    "block",
    "block_hash",
    "success",
    "gas_used",
    "effective_gas_price",
    "gas_cost",
    "l1_fee",
    "loan_fee",
    "net_wei",
)


def seal(row: Mapping[str, Any], deltas: Iterable[tuple[str, str, str]]) -> str:
    """Digest of a settlement row with its (account, token, amount) deltas in order.

    It is written once, beside them: a row that somebody altered afterwards contradicts it.
    """
    parts = [[None if row[name] is None else str(row[name]) for name in _SEALED], [list(d) for d in deltas]]
    return hashlib.sha256(json.dumps(parts, separators=(",", ":")).encode()).hexdigest()
