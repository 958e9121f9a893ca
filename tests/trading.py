"""A store as days of trading leave it, from a seed: every kind of end, decision, loss and closing in it."""

from __future__ import annotations

import random

from arbtui.domain import (
    ClosedBy,
    Closing,
    DecisionKind,
    Delivery,
    ExecutionStatus,
    LenderId,
    Token,
)
from arbtui.store import Batch, Store
from arbtui.units import ETHER, GWEI, Wei
from tests import factories as make

S = ExecutionStatus
_LENDERS = (LenderId.BALANCER_V2, LenderId.AAVE_V3, LenderId.AAVE_V2, LenderId.MAKER)
_ENDS = (S.MINED,) * 12 + (S.REVERTED,) * 2 + (S.CANCELLED, S.REJECTED)
_MISSED = (DecisionKind.STALE, DecisionKind.EXPIRED_UNSEEN, DecisionKind.EXPIRED_SEEN, DecisionKind.REJECTED)


def trade(store: Store, count: int = 60, hours: float = 20.0, seed: int = 7) -> None:
    """`count` executions and as many tickets that were missed; the last execution is still in flight."""
    rng = random.Random(seed)
    for number in range(1, count + 1):
        decided = hours * 3_600 * number / count + rng.uniform(-60, 60)
        with store.batch() as batch:
            _block(batch, number, rng)
            _execution(batch, number, decided, S.SUBMITTED if number == count else rng.choice(_ENDS), rng)
            _miss(batch, number, rng)
            _drop(batch, number, rng)


def _block(batch: Batch, number: int, rng: random.Random) -> None:
    batch.block(
        make.block_ref(make.HEAD + number),
        40,
        96,
        rng.uniform(20, 300),
        max(1, 50 - number // 10) * ETHER // 10,
        paying=9,
        unrecorded=2,
    )


def _execution(batch: Batch, number: int, decided: float, status: S, rng: random.Random) -> None:
    lender = rng.choice(_LENDERS)
    route = make.path(
        rng.choice((("uniswap", "sushiswap"), ("sushiswap", "uniswap"), ("uniswap", "uniswap")))
    )
    gross = int(rng.lognormvariate(-2.2, 0.9) * ETHER)
    found = make.opportunity(ETHER * number, gross, make.block_ref(make.HEAD + number), path=route)
    expected = gross - 300_000 * 22 * GWEI
    name = f"e{number}"
    ticket = make.ticket(f"t{number}", found, lender=lender, expected_net_wei=expected, expected_profit=gross)
    batch.ticket(ticket, make.WHY_LOST, created_at=make.at(decided - rng.uniform(0, 20)))
    batch.decision(make.decision(ticket.id), make.checks(), at=make.at(decided))
    batch.execution(name, ticket, S.PREPARED, decided_at=make.at(decided), nonce=number)
    batch.execution_moved(name, S.PREPARED, S.SUBMITTED, "handed to the node", make.at(decided + 0.05))
    refused = status is S.REJECTED
    batch.attempt(
        make.attempt(name, nonce=number, delivery=Delivery.REJECTED if refused else Delivery.DELIVERED)
    )
    if status is S.SUBMITTED:
        return
    error = {S.REVERTED: "execution_reverted", S.REJECTED: "underpriced"}.get(status, "")
    batch.execution_moved(
        name, S.SUBMITTED, status, "told", make.at(decided + rng.uniform(2, 30)), error_class=error
    )
    if refused:
        batch.incident("send", "refused for the price", error_class=error, execution_id=name)
        return
    slip = int(gross * rng.uniform(-0.08, 0.01)) if number % 11 else -gross - ETHER // 50
    told = make.settlement(
        name,
        gross=gross + slip,
        gas_used=rng.randrange(210_000, 420_000) if status is S.MINED else rng.randrange(21_000, 160_000),
        success=status is S.MINED,
        block_number=make.HEAD + number,
        effective_gas_price=Wei(22 * GWEI),
    )
    batch.settlement(told, make.ROLES, make.TOKENS)


def _miss(batch: Batch, number: int, rng: random.Random) -> None:
    name = f"m{number}"
    found = make.opportunity(ETHER * number + 1, ETHER // 10, make.block_ref(make.HEAD + number))
    batch.ticket(
        make.ticket(name, found, expected_net_wei=int(rng.uniform(0.01, 0.2) * ETHER)), make.WHY_LOST
    )
    kind = _MISSED[number % 4]
    failed = make.checks("profit") if kind is DecisionKind.STALE else ()
    batch.decision(
        make.decision(name, kind), failed, make.foreign_trade() if kind is DecisionKind.STALE else None
    )
    by = (ClosedBy.FOREIGN, ClosedBy.FOREIGN, ClosedBy.NOBODY)[number % 3]
    sender = make.address(0xB0B + number % 4) if by is ClosedBy.FOREIGN else None
    batch.closing(
        Closing(
            found.id,
            found.path.id,
            make.HEAD + number,
            make.HEAD + number + 1,
            make.HEAD + number + 2,
            int(rng.uniform(0.01, 0.3) * ETHER),
            by,
            make.foreign_trade() if sender else None,
            3,
            sender,
            Wei(2 * GWEI) if sender else None,
        )
    )


def _drop(batch: Batch, number: int, rng: random.Random) -> None:
    for extra in range(3):
        found = make.opportunity(ETHER * number + 2 + extra, ETHER // 90, make.block_ref(make.HEAD + number))
        reason = rng.choice(("gas_cost", "shared_pool", "liquidity"))
        batch.dropped(
            found, make.quotes(found.amount_in)[:2], make.checks("profit"), reason, net_wei=-(10**15)
        )


HOSTILE = Token(make.USDC.address, "<b>[x](y)\x1b[31m", 6)
