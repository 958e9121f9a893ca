"""A store as a desk meets it, and a desk on it whose clocks stand still until they are turned."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from arbtui.domain import (
    AttemptKind,
    CheckResult,
    Decision,
    DecisionKind,
    Delivery,
    Delta,
    ExecutionStatus,
    Fallback,
    Hop,
    HopAmount,
    LenderId,
    Opportunity,
    PoolKind,
    Stage,
    Token,
)
from arbtui.domain import Path as TokenPath
from arbtui.monitor.reconcile import amounts_json, describe
from arbtui.store import Store, StoreLock, open_store
from arbtui.tui import DeskSettings
from arbtui.tui.app import DeskApp
from arbtui.units import ETHER, GWEI, Ppm
from tests import factories as make

HEAD = make.HEAD + 3
#: Three seconds after the head's own time.
NOW = float(make.block_ref(HEAD).timestamp + 3)
BLOCK_TIME_S = 12.0


@dataclass
class Clock:
    """Wall and monotonic time that move when they are told to."""

    wall: float = NOW
    steady: float = 1_000.0

    def forward(self, seconds: float) -> None:
        self.wall += seconds
        self.steady += seconds

    def utc(self) -> str:
        return datetime.fromtimestamp(self.wall, UTC).isoformat(timespec="microseconds")


def route(
    *tokens: Token, dexes: Sequence[str] = ("uniswap", "sushiswap", "uniswap"), seed: int = 0
) -> TokenPath:
    """A cycle over these tokens, back to the first."""
    ring = [*tokens, tokens[0]]
    return TokenPath(
        tuple(
            Hop(
                make.address(0xA11CE000 + seed * 16 + number),
                dexes[number % len(dexes)],
                PoolKind.UNISWAP_V3 if number % 2 else PoolKind.UNISWAP_V2,
                Ppm(500 if number % 2 else 3_000),
                given.address,
                taken.address,
            )
            for number, (given, taken) in enumerate(itertools.pairwise(ring))
        )
    )


def found(
    path: TokenPath, token: Token, amount_in: int, gross: int, block: int = HEAD, middle: int = 37_123_456_789
) -> Opportunity:
    amounts = [amount_in, *(middle + 11 * number for number in range(len(path.hops) - 1)), amount_in + gross]
    hops = tuple(
        HopAmount(hop, amounts[number], amounts[number + 1], 7 * number + 3)
        for number, hop in enumerate(path.hops)
    )
    return Opportunity(path, token, amount_in, amount_in + gross, hops, make.block_ref(block))


WBTC = Token(make.address(0x2260FAC5E5542A773AA44FBCFEDF7C193BC2C599), "WBTC", 8)
TOKENS = {**make.TOKENS, WBTC.address: WBTC}


@dataclass
class Sample:
    """The store's directory with the engine's side of it open: what an engine would write."""

    directory: Path
    clock: Clock = field(default_factory=Clock)
    stage: Stage = Stage.LIVE

    def __post_init__(self) -> None:
        family = "live" if self.stage is Stage.LIVE else "paper"
        self.store = Store.open(self.directory, family, clock=self.clock.utc)
        self.lock: StoreLock | None = StoreLock(self.directory)
        self.store.start_run(make.run_info(stage=self.stage))

    def close(self) -> None:
        self.store.close()
        self.stop_engine()

    def stop_engine(self) -> None:
        if self.lock is not None:
            self.lock.close()
            self.lock = None

    def head(self, number: int = HEAD, balance: int = 9_998_765 * ETHER // 1_000) -> None:
        with self.store.batch() as batch:
            batch.block(make.block_ref(number), 24, 310, 84.0, balance)

    def ticket(
        self, name: str = "t1", last_block: int = HEAD + 5, symbol: str | None = None, **changes: Any
    ) -> Any:
        """A waiting ticket; its digest begins with what `name` hashes to."""
        opportunity = changes.pop("opportunity", None) or found(
            route(make.WETH, make.USDC, seed=1), make.WETH, 12 * ETHER, ETHER // 10, HEAD - 1
        )
        if symbol is not None:
            opportunity = replace(opportunity, token=replace(opportunity.token, symbol=symbol))
        ticket = make.ticket(
            make.word("ticket", name),
            opportunity,
            last_block=last_block,
            fallback=changes.pop("fallback", None)
            or Fallback(
                LenderId.AAVE_V3,
                b"\x01\x02",
                440_000,
                ETHER // 18,
                ETHER * 94 // 1_000,
                320_000,
                86 * ETHER // 1_000,
            ),
            checks=changes.pop("checks", None) or checks(),
            **changes,
        )
        with self.store.batch() as batch:
            batch.ticket(ticket, make.WHY_LOST)
            batch.ticket_now(replace(ticket, expected_net_wei=ticket.expected_net_wei - 1_234 * GWEI * 1_000))
        return ticket

    def differ(self, *deltas: Delta, block: int = HEAD) -> None:
        """Balances that no settlement explains, as the engine writes them down."""
        with self.store.batch() as batch:
            batch.reconciled(
                make.block_ref(block - 3),
                make.block_ref(block),
                {},
                make.ROLES,
                TOKENS,
                amounts=amounts_json(deltas),
                difference=describe(deltas, make.ROLES, TOKENS),
            )

    def decide(self, ticket: Any, kind: DecisionKind, reason: str = "") -> None:
        with self.store.batch() as batch:
            batch.decision(Decision(ticket.id, kind, reason, make.block_ref(HEAD)))

    def commands(self, *kinds: str) -> list[dict[str, Any]]:
        """Command rows of these kinds, oldest first."""
        with open_store(self.directory, "live" if self.stage is Stage.LIVE else "paper") as reader:
            rows = reader.query("SELECT * FROM command ORDER BY id")
        return [row for row in rows if not kinds or row["kind"] in kinds]

    def answer(self, result: str) -> None:
        """What the engine does with every command that waits."""
        for number, _, _ in self.store.commands():
            with self.store.batch() as batch:
                batch.command_taken(number, result)

    def settings(self, **changes: Any) -> DeskSettings:
        fields: dict[str, Any] = {
            "directory": self.directory,
            "family": "live" if self.stage is Stage.LIVE else "paper",
            "chain_name": "devnet",
            "native_symbol": "ETH",
            "block_time_s": BLOCK_TIME_S,
            "owns_engine": False,
            "tokens": TOKENS,
        }
        return DeskSettings(**{**fields, **changes})

    def desk(self, **changes: Any) -> DeskApp:
        app = DeskApp(
            self.settings(**changes), clock=lambda: self.clock.wall, monotonic=lambda: self.clock.steady
        )
        app.animation_level = "none"
        return app


def checks() -> tuple[CheckResult, ...]:
    return (
        CheckResult.at_most("path", 0, 0, "faults"),
        CheckResult.at_least("liquidity", 4_120 * ETHER, 50 * ETHER, "wei", "sushiswap 0x00…11"),
        CheckResult.at_most("price_impact", 12, 50, "bps", "uniswap 0xA11C…e010"),
        CheckResult.at_least("loan", 3, 1, "usable lenders", "maker token_not_supported"),
        CheckResult.at_most(
            "gas_cost",
            66 * ETHER // 10_000,
            98 * ETHER // 1_000,
            "base units of WETH",
            "300000 gas (simulated)",
        ),
        CheckResult.at_most("freshness", 1, 30, "s", "age of the block decided on"),
        CheckResult.at_least("simulation", ETHER // 10, ETHER // 20, "base units of WETH", "minimum profit"),
    )


def fill(sample: Sample, *, flight: bool = True) -> list[Any]:
    """A morning's work: two waiting tickets, what a block refused, executions in every state that matters."""
    sample.head(HEAD - 1)
    done = ("mined", "mined", "reverted", "cancelled", "mined", "rejected")
    for number, status in enumerate(done, 1):
        sample.clock.forward(-400 + 0 * number)
        at = make.at(-600 + number * 90)
        ticket = make.ticket(
            make.word("old", number),
            found(
                route(make.WETH, make.DAI, seed=number),
                make.WETH,
                ETHER * number,
                ETHER // 10,
                HEAD - 40 + number,
            ),
            lender=LenderId.BALANCER_V2 if number % 3 else LenderId.AAVE_V3,
        )
        name = f"x{ticket.digest[2:18]}"
        with sample.store.batch() as batch:
            batch.ticket(ticket, make.WHY_LOST, created_at=at)
            batch.decision(
                Decision(
                    ticket.id, DecisionKind.APPROVED_BY_HAND, "by desk", make.block_ref(HEAD - 40 + number)
                ),
                at=at,
            )
            batch.execution(name, ticket, ExecutionStatus.PREPARED, decided_at=at)
            if status == "rejected":
                batch.execution_moved(
                    name, ExecutionStatus.PREPARED, ExecutionStatus.REJECTED, "the node refused it: underpriced", at,
                    error_class="underpriced",
                )  # fmt: skip
                batch.incident(
                    "send",
                    "replacement transaction underpriced",
                    error_class="underpriced",
                    execution_id=name,
                    at=at,
                )
                sample.clock.forward(400)
                continue
            batch.attempt(make.attempt(name, 1, 40 + number, delivery=Delivery.DELIVERED))
            batch.execution_moved(
                name,
                ExecutionStatus.PREPARED,
                ExecutionStatus.SUBMITTED,
                "handed to the node",
                make.at(-599 + number * 90),
                nonce=40 + number,
            )
            landed = ExecutionStatus(status)
            if status == "cancelled":
                batch.attempt(make.attempt(name, 2, 40 + number, AttemptKind.CANCEL, Delivery.DELIVERED))
            batch.execution_moved(
                name,
                ExecutionStatus.SUBMITTED,
                landed,
                f"in block {HEAD - 38 + number:,}",
                make.at(-588 + number * 90),
            )
            settled = make.settlement(
                name, gross=ETHER // 10 + number * 123_456_789_012_345, success=status == "mined"
            )
            batch.settlement(settled, make.ROLES, make.TOKENS)
        sample.clock.forward(400)
    first = sample.ticket("t1")
    second = sample.ticket(
        "t2",
        HEAD + 2,
        opportunity=found(
            route(make.USDC, make.WETH, WBTC, seed=3), make.USDC, 250_000_000_000, 391_234_567, HEAD, 10**20
        ),
        expected_net_wei=42 * ETHER // 1_000,
        lender=LenderId.AAVE_V3,
        rate=replace(
            make.ticket().rate,
            token=make.USDC,
            numerator=2_500_000_000,
            denominator=ETHER,
            pools=(make.POOL_A,),
        ),
        expected_profit=250_000_000,
        min_profit=120_000_000,
        checks=(
            CheckResult.at_most("path", 0, 0, "faults"),
            CheckResult.at_most("price_impact", 17, 50, "bps"),
            CheckResult.at_least("simulation", 250_000_000, 120_000_000, "USDC", "minimum profit"),
        ),
    )
    reasons = (
        "gas_cost",
        "gas_cost",
        "price_impact",
        "shared_pool",
        "simulation",
        "loan",
        "gas_cost",
        "liquidity",
    )
    bases = (make.WETH, make.USDC, make.DAI, WBTC)
    for number in range(14):
        base = bases[number % 4]
        others = [token for token in bases if token is not base]
        path = route(base, *others[: 1 + number % 3], seed=10 + number)
        unit = 10**base.decimals
        refused = found(path, base, (3 + number) * unit, unit * (14 - number) // 900, HEAD)
        net = None if number == 5 else (9 - 2 * number) * ETHER // 1_700
        reason = reasons[number % len(reasons)]
        failing = CheckResult.at_most(
            reason,
            5_300_000_000_000_000,
            4_100_000_000_000_000,
            base.symbol,
            "231000 gas (prior) at 22000000000 wei",
        )
        with sample.store.batch() as batch:
            batch.dropped(
                refused, make.quotes(refused.amount_in), (checks()[0], failing), reason, net_wei=net
            )
    if flight:
        ticket = make.ticket(
            make.word("flying"),
            found(route(make.WETH, make.DAI, seed=90), make.WETH, 5 * ETHER, ETHER // 15, HEAD - 1),
            last_block=HEAD + 4,
        )
        name = f"x{ticket.digest[2:18]}"
        sent = datetime.fromtimestamp(sample.clock.wall - 14, UTC).isoformat(timespec="microseconds")
        with sample.store.batch() as batch:
            batch.ticket(ticket, make.WHY_LOST)
            batch.decision(
                Decision(ticket.id, DecisionKind.APPROVED_BY_HAND, "by desk", make.block_ref(HEAD - 1)),
                at=sent,
            )
            batch.execution(name, ticket, ExecutionStatus.PREPARED, decided_at=sent)
            batch.attempt(make.attempt(name, 1, 47, delivery=Delivery.DELIVERED))
            batch.execution_moved(
                name,
                ExecutionStatus.PREPARED,
                ExecutionStatus.SUBMITTED,
                "handed to the node",
                sent,
                nonce=47,
            )
    sample.head()
    return [first, second]
