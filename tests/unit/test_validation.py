from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from arbtui.approval import ApproveMode, digest_of, new_ticket_id, require_stage
from arbtui.domain import CheckResult, Fallback, LenderId, Stage
from arbtui.errors import RefusedError
from arbtui.market.state import MarketState
from arbtui.market.uniswap_v2 import UniswapV2Pool
from arbtui.units import ETHER, GWEI, Wei
from arbtui.validation import Candidate, OpportunityValidator, ValidationPolicy
from arbtui.validation.checks import GAS_PRIOR_HOP, GAS_PRIOR_RUN
from tests.factories import DAI, EXECUTOR, WALLET, WETH, ladder, loan_quote, opportunity, quotes

POLICY = ValidationPolicy(min_net_profit_wei=10**15, max_head_age_s=12)


def candidate(**changes: Any) -> Candidate:
    found = opportunity()
    pools = {}
    for hop in found.path.hops:
        low, high = sorted((hop.token_in, hop.token_out), key=lambda a: int(a, 16))
        pools[hop.pool] = UniswapV2Pool(hop.pool, hop.dex, low, high, hop.fee_ppm, 10**24, 10**24)
    tokens = {token.address: token for token in (WETH, DAI)}
    state = MarketState(found.block, tokens, pools)
    made = Candidate(
        opportunity=found,
        state=state,
        wrapped_native=WETH,
        rate=state.conversion(found.token, WETH),
        quotes=quotes(found.amount_in),
        chosen=loan_quote(LenderId.BALANCER_V2) if "chosen" not in changes else None,
        gas_price=Wei(20 * GWEI),
        now=found.block.timestamp + 2.0,
    )
    return replace(made, **changes)


def run(made: Candidate, policy: ValidationPolicy = POLICY) -> dict[str, CheckResult]:
    return {check.check: check for check in OpportunityValidator(policy).screen(made).checks}


def test_a_sound_candidate_passes_every_check() -> None:
    checks = run(candidate())
    assert set(checks) == {"path", "liquidity", "price_impact", "freshness", "loan", "gas_cost"}
    assert all(check.passed and check.margin >= 0 for check in checks.values())


def test_margins_are_what_is_left_to_the_limit() -> None:
    made = candidate()
    age = run(replace(made, now=made.opportunity.block.timestamp + 12.0))["freshness"]
    assert (age.passed, age.observed, age.margin) == (True, 12, 0)
    late = run(replace(made, now=made.opportunity.block.timestamp + 12.1))["freshness"]
    assert (late.passed, late.observed, late.margin) == (False, 13, -1)


def test_gas_must_fit_into_what_loan_and_least_profit_leave() -> None:
    made = candidate()
    assert made.rate is not None
    gas = GAS_PRIOR_RUN + sum(GAS_PRIOR_HOP[hop.hop.kind] for hop in made.opportunity.hops)
    assert made.chosen is not None
    assert made.gas == gas + made.chosen.gas_overhead
    room = made.opportunity.gross_profit - (made.chosen.fee or 0) - made.rate.from_wei_up(10**15)
    check = run(made)["gas_cost"]
    assert check.limit == room
    assert check.observed == made.rate.from_wei_up(made.gas * 20 * GWEI)
    dear = Wei(room * 2 * made.rate.denominator // made.rate.numerator // made.gas)
    refused = run(replace(made, gas_price=dear))["gas_cost"]
    assert not refused.passed
    assert refused.margin == refused.limit - refused.observed < 0


def test_simulated_figures_take_the_place_of_priors() -> None:
    made = candidate(simulated_profit=7, simulated_gas=123_456)
    check = run(made)["gas_cost"]
    assert "123456 gas (simulated)" in check.detail
    assert made.rate is not None
    assert check.limit == 7 - made.rate.from_wei_up(10**15)


def test_thin_pools_and_steep_prices_are_refused() -> None:
    made = candidate()
    thin = run(made, POLICY.model_copy(update={"min_liquidity_wei": 10**9 * ETHER}))["liquidity"]
    assert (thin.passed, thin.unit) == (False, "wei")
    worst = max(hop.impact_bps for hop in made.opportunity.hops)
    steep = run(made, POLICY.model_copy(update={"max_price_impact_bps": worst - 1}))["price_impact"]
    assert (steep.passed, steep.observed, steep.margin) == (False, worst, -1)


def test_a_path_through_an_unknown_pool_is_named() -> None:
    made = candidate()
    empty = MarketState(made.state.block, made.state.tokens, {})
    check = run(replace(made, state=empty, rate=made.rate))["path"]
    assert not check.passed
    assert "unknown pool" in check.detail


def test_without_a_way_to_price_gas_there_is_no_trade() -> None:
    check = run(candidate(rate=None))["gas_cost"]
    assert not check.passed
    assert "no pool path" in check.detail


async def test_the_verdict_unpacks_as_planned() -> None:
    validator = OpportunityValidator(POLICY)
    made = candidate(floor=100, simulated_profit=10**18, simulated_gas=200_000)
    valid, reason = await validator.validate_opportunity(made)
    assert (valid, reason) == (True, "Valid opportunity")
    valid, reason = await validator.validate_opportunity(replace(made, floor=2 * 10**18))
    assert valid is False
    assert f"simulation failed: {10**18}" in str(reason)
    assert f"limit {2 * 10**18}" in str(reason)
    valid, reason = await validator.validate_opportunity(
        replace(made, simulated_profit=None, simulation_error="DeadlinePassed(1, 2)")
    )
    assert "DeadlinePassed(1, 2)" in str(reason)


@pytest.mark.parametrize(
    ("stage", "approve", "local", "refused"),
    [
        (Stage.OBSERVE, ApproveMode.NONE, False, False),
        (Stage.PAPER, ApproveMode.NONE, False, False),
        (Stage.LIVE, ApproveMode.NONE, True, False),
        (Stage.LIVE, ApproveMode.ALL, True, False),
        (Stage.LIVE, ApproveMode.NONE, False, True),
        (Stage.PAPER, ApproveMode.ALL, False, True),
        (Stage.CANARY, ApproveMode.NONE, True, True),
        (Stage.LIVE, ApproveMode.MANDATE, True, True),
    ],
)
def test_stages(stage: Stage, approve: ApproveMode, local: bool, refused: bool) -> None:
    if refused:
        with pytest.raises(RefusedError):
            require_stage(stage, approve, local=local)
    else:
        require_stage(stage, approve, local=local)


FALLBACK = Fallback(LenderId.AAVE_V3, b"\x03", 1, 1, 2, 3, 4)


def digest(**changes: Any) -> str:
    bound: dict[str, Any] = {
        "chain_id": 31337,
        "wallet": WALLET,
        "executor": EXECUTOR,
        "calldata": b"\x01\x02",
        "lender": LenderId.MAKER,
        "ladder": ladder(),
        "gas_limit": 300_000,
        "min_profit": 5,
        "last_block": 9,
        "fallback": FALLBACK,
    }
    return digest_of(**(bound | changes))


@pytest.mark.parametrize(
    "change",
    [
        {"chain_id": 1},
        {"wallet": EXECUTOR},
        {"executor": WALLET},
        {"calldata": b"\x01\x03"},
        {"lender": LenderId.AAVE_V2},
        {"ladder": ladder("aggressive")},
        {"gas_limit": 300_001},
        {"min_profit": 6},
        {"last_block": 10},
        {"fallback": None},
        {"fallback": replace(FALLBACK, min_profit=2)},
        {"fallback": replace(FALLBACK, calldata=b"\x09")},
        {"fallback": replace(FALLBACK, lender=LenderId.BALANCER_V2)},
        {"fallback": replace(FALLBACK, gas_limit=2)},
    ],
)
def test_the_digest_binds_everything_that_is_approved(change: dict[str, Any]) -> None:
    if "ladder" in change:
        steps = change["ladder"].steps
        change = {
            "ladder": replace(change["ladder"], steps=(replace(steps[0], max_fee_per_gas=Wei(1)), *steps[1:]))
        }
    assert digest(**change) != digest()
    assert digest() == digest()


def test_ticket_ids_of_a_run_are_dense_and_never_repeat() -> None:
    ids = [new_ticket_id("r1", n) for n in range(600)]
    assert len(set(ids)) == 600
    assert {len(i) for i in ids} == {66}
    assert len({i[:-2] for i in ids}) == 3
    assert not set(ids) & {new_ticket_id("r2", n) for n in range(600)}
