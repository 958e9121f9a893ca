"""The checks of a candidate. Each returns a CheckResult; none raises, none reads a clock or a node."""

from __future__ import annotations

import math
from dataclasses import dataclass

from arbtui.domain import CheckResult, ConversionRate, LoanQuote, Opportunity, Path, PoolKind, Token
from arbtui.market.state import MarketState
from arbtui.units import Wei
from arbtui.validation.policy import ValidationPolicy

#: Gas of a run with own capital before the simulation tells the truth: entry, checks and settlement; a hop by family.
#: Measured by `python -m tests.bench gas`, rounded up; the figures are in contracts/README.md, "Gas per lender".
GAS_PRIOR_RUN = 28_000
GAS_PRIOR_HOP = {PoolKind.UNISWAP_V2: 61_000, PoolKind.UNISWAP_V3: 76_000}


@dataclass(frozen=True, slots=True)
class Candidate:
    """An opportunity with everything the checks look at; amounts in base units of its token.

    `simulated_profit` and `simulated_gas` are None before the simulation; `floor` is the minimum profit that would
    go into the calldata. `gas_price` is wei per gas expected to be paid; `now` the wall clock in unix seconds.
    """

    opportunity: Opportunity
    state: MarketState
    wrapped_native: Token
    rate: ConversionRate | None
    quotes: tuple[LoanQuote, ...]
    chosen: LoanQuote | None
    gas_price: Wei
    now: float
    floor: int | None = None
    simulated_profit: int | None = None
    simulated_gas: int | None = None
    simulation_error: str = ""

    @property
    def gas(self) -> int:
        """Gas of the whole transaction: simulated, else the priors of run, hops and lender."""
        if self.simulated_gas is not None:
            return self.simulated_gas
        return route_gas(self.opportunity.path) + (self.chosen.gas_overhead if self.chosen else 0)

    @property
    def loan_fee(self) -> int:
        """Of the chosen lender; of none chosen, the least any usable lender could ask: nothing."""
        return self.chosen.fee or 0 if self.chosen else 0


def route_gas(path: Path) -> int:
    """Gas of executing `path` with own capital, by the priors."""
    return GAS_PRIOR_RUN + sum(GAS_PRIOR_HOP[hop.kind] for hop in path.hops)


def check_path(candidate: Candidate, policy: ValidationPolicy) -> CheckResult:
    """A closed cycle over distinct known pools of known tokens, not too long."""
    hops = candidate.opportunity.path.hops
    faults = []
    if any(a.token_out != b.token_in for a, b in zip(hops, hops[1:] + hops[:1], strict=True)):
        faults.append("hops do not connect into a cycle")
    if len({hop.pool for hop in hops}) != len(hops):
        faults.append("a pool twice")
    if not 2 <= len(hops) <= policy.max_hops:
        faults.append(f"{len(hops)} hops, allowed are 2 to {policy.max_hops}")
    if any(hop.pool not in candidate.state.pools for hop in hops):
        faults.append("an unknown pool")
    if any(hop.token_in not in candidate.state.tokens for hop in hops):
        faults.append("an unknown token")
    return CheckResult.at_most("path", len(faults), 0, "faults", "; ".join(faults))


def check_liquidity(candidate: Candidate, policy: ValidationPolicy) -> CheckResult:
    """The thinnest pool of the path, as wei of the token that goes in."""
    thinnest: int | None = None
    where = ""
    for hop in candidate.opportunity.path.hops:
        pool = candidate.state.pools.get(hop.pool)
        rate = candidate.state.conversion(candidate.state.token(hop.token_in), candidate.wrapped_native)
        depth = 0 if pool is None or rate is None else rate.to_wei_down(pool.depth(hop.token_in))
        if thinnest is None or depth < thinnest:
            thinnest, where = depth, f"{hop.dex} {hop.pool}"
    return CheckResult.at_least("liquidity", thinnest or 0, policy.min_liquidity_wei, "wei", where)


def check_price_impact(candidate: Candidate, policy: ValidationPolicy) -> CheckResult:
    worst = max(candidate.opportunity.hops, key=lambda hop: hop.impact_bps)
    return CheckResult.at_most(
        "price_impact",
        worst.impact_bps,
        policy.max_price_impact_bps,
        "bps",
        f"{worst.hop.dex} {worst.hop.pool}",
    )


def check_loan(candidate: Candidate, policy: ValidationPolicy) -> CheckResult:  # noqa: ARG001
    """At least one lender can lend the amount."""
    usable = sum(quote.usable for quote in candidate.quotes)
    reasons = ", ".join(f"{q.lender} {q.reason}" for q in candidate.quotes if not q.usable)
    return CheckResult.at_least("loan", usable, 1, "usable lenders", reasons)


def check_gas_cost(candidate: Candidate, policy: ValidationPolicy) -> CheckResult:
    """Gas must fit into what the loan fee and the least net profit leave of the gross profit."""
    unit = f"base units of {candidate.opportunity.token.symbol}"
    if candidate.rate is None:
        return CheckResult(
            "gas_cost", False, 0, 0, -1, unit, "no pool path from the native coin to price gas in"
        )
    profit = candidate.simulated_profit
    if profit is None:
        profit = candidate.opportunity.gross_profit - candidate.loan_fee
    room = profit - candidate.rate.from_wei_up(policy.min_net_profit_wei)
    cost = candidate.rate.from_wei_up(candidate.gas * candidate.gas_price)
    source = "prior" if candidate.simulated_gas is None else "simulated"
    return CheckResult.at_most(
        "gas_cost", cost, room, unit, f"{candidate.gas} gas ({source}) at {candidate.gas_price} wei"
    )


def check_freshness(candidate: Candidate, policy: ValidationPolicy) -> CheckResult:
    age = max(0, math.ceil(candidate.now - candidate.state.block.timestamp))
    return CheckResult.at_most("freshness", age, policy.max_head_age_s, "s", "age of the block decided on")


def check_simulation(candidate: Candidate, policy: ValidationPolicy) -> CheckResult:  # noqa: ARG001
    """The executor contract, run on the newest state, must bring the floor at least."""
    unit = f"base units of {candidate.opportunity.token.symbol}"
    floor = candidate.floor or 0
    if candidate.simulated_profit is None:
        reason = candidate.simulation_error or "not simulated"
        return CheckResult("simulation", False, 0, floor, -max(1, floor), unit, reason)
    return CheckResult.at_least("simulation", candidate.simulated_profit, floor, unit, "minimum profit")
