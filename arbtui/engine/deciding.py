"""From an opportunity to a ticket or an explained "no", on one block."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from arbtui.abi import decode_uint
from arbtui.approval import digest_of
from arbtui.chain import Node
from arbtui.domain import (
    POOL_LENDERS,
    BlockRef,
    CheckResult,
    ConversionRate,
    Fallback,
    FeeLadder,
    LenderId,
    LoanQuote,
    Opportunity,
    Path,
    PoolKind,
    Simulated,
    Ticket,
    Token,
)
from arbtui.engine.policy import TicketPolicy, WalletPolicy
from arbtui.errors import NodesDisagree, UnknownBlock
from arbtui.execution import EXECUTOR_ERRORS, encode_execute, observed_profit
from arbtui.gas import (
    DYNAMIC,
    Choice,
    FeeSample,
    GasLimit,
    GasPolicy,
    InclusionRecord,
    Situation,
    build_ladder,
    ceiling_of,
    choose_strategy,
    gas_limit_for,
    suggested_tip,
)
from arbtui.lenders import FlashLoanManager, GasView, Track, cheapest
from arbtui.lenders.base import Reason
from arbtui.market import SwapReverts
from arbtui.market.state import MarketState
from arbtui.recovery import decode_revert
from arbtui.search import opportunity as at_input
from arbtui.search import size
from arbtui.units import BPS, PPM, Address, Wei, div_up, mul_div_up
from arbtui.validation import FREE_LOAN, Candidate, LoanCost, OpportunityValidator, Ranked
from arbtui.validation.checks import check_freshness, check_gas_cost, check_simulation

#: The check that enough nodes say the same of what is about to be sent.
AGREEMENT = "agreement"

#: Would lend, were it less.
_SHORT = frozenset({Reason.INSUFFICIENT_LIQUIDITY, Reason.CEILING})


@dataclass(frozen=True, slots=True)
class Fees:
    """What the next block asks: base fee and a tip, in wei per gas."""

    next_base: Wei
    tip: Wei
    #: Recent blocks, oldest first: what a step's chances are read from.
    samples: tuple[FeeSample, ...] = ()
    #: The gas strategy a person asked for; None: the configuration's.
    strategy: str | None = None
    #: Wei of the wallet that pays them; None where nothing is going to be sent.
    funds: Wei | None = None

    @property
    def price(self) -> Wei:
        return Wei(self.next_base + self.tip)


@dataclass(frozen=True, slots=True)
class Dropped:
    """An opportunity that becomes no ticket; `check` names the first check that failed."""

    opportunity: Opportunity
    quotes: tuple[LoanQuote, ...]
    checks: tuple[CheckResult, ...]
    check: str
    #: What would have been left in wei after loan fee and gas, as far as it was computed.
    net_wei: int | None = None
    ranked: Ranked | None = None


@dataclass(frozen=True, slots=True)
class Leg:
    """One way to execute an opportunity: a lender, its bytes, and what they bring on the newest block."""

    quote: LoanQuote
    calldata: bytes
    floor: int
    ladder: FeeLadder
    simulation: Simulation
    choice: Choice


@dataclass(frozen=True, slots=True)
class Simulation:
    """`profit` is base units of the token after the loan fee: also where the contract refused it as too little."""

    success: bool
    profit: int | None
    gas: int
    error: str


async def read_fees(node: Node, policy: GasPolicy) -> Fees:
    next_base, tips, samples = await node.fee_history()
    tip = suggested_tip(tips, policy.min_priority_fee_per_gas, policy.max_priority_fee_per_gas)
    return Fees(next_base, tip, tuple(samples))


class Decider:
    """Quotes, checks, sizes fees and simulates; holds no state of its own but what was measured."""

    def __init__(
        self,
        *,
        node: Node,
        chain_id: int,
        block_time_s: float,
        wrapped_native: Token,
        wallet: WalletPolicy,
        gas: GasPolicy,
        tickets: TicketPolicy,
        manager: FlashLoanManager,
        validator: OpportunityValidator,
        wall_clock: Callable[[], float],
    ) -> None:
        self._node = node
        self._chain_id = chain_id
        self._block_time_s = block_time_s
        self._wrapped_native = wrapped_native
        self._wallet = wallet
        self._gas = gas
        self._tickets = tickets
        self._manager = manager
        self._validator = validator
        self._wall_clock = wall_clock
        #: Gas a lender costs over own capital, from own receipts.
        self.measured_overheads: dict[LenderId, int] = {}
        #: How executions through each lender went, this run's and earlier ones'.
        self.tracks: dict[LenderId, Track] = {}
        #: How often each gas strategy's transactions came into a block in time.
        self.inclusion: Mapping[str, InclusionRecord] = {}
        self._loan_costs: dict[Address, LoanCost] = {}

    @property
    def flash_loans(self) -> FlashLoanManager:
        return self._manager

    def loan_cost(self, token: Address) -> LoanCost:
        """What the cheapest loan of `token` cost when it was last quoted; nothing before that."""
        return self._loan_costs.get(token, FREE_LOAN)

    def sized(self, path: Path, state: MarketState) -> Opportunity | None:
        """`path` at its best input, as `fitted`; None where no input gains a base unit."""
        found = size(path, state)
        return None if found is None else self.fitted(found, state)

    def fitted(self, opportunity: Opportunity, state: MarketState) -> Opportunity:
        """At the input that leaves most after the fee of the loan that was last the cheapest for its token.

        At most what some lender had of it then: profit only grows up to the best input. Where no input leaves anything
        after the fee the opportunity stays what it is, and is refused for that.
        """
        cost = self.loan_cost(opportunity.token.address)
        found = (size(opportunity.path, state, cost.fee_ppm) if cost.fee_ppm else None) or opportunity
        if cost.most is None or cost.most >= found.amount_in or self._pays_first(opportunity.path):
            return found
        try:
            less = at_input(opportunity.path.hops, cost.most, state)
        except SwapReverts:
            return found
        return less if less.gross_profit > 0 else found

    def _pays_first(self, path: Path) -> bool:
        """Whether the path's own last pair may lend, which no lender's stock limits."""
        there = any(lender.id is LenderId.FLASH_SWAP for lender in self._manager.lenders)
        used = there and LenderId.FLASH_SWAP not in self._manager.off
        return used and all(hop.kind is PoolKind.UNISWAP_V2 for hop in path.hops)

    def _learn(self, token: Token, quotes: Sequence[LoanQuote], chosen: LoanQuote | None) -> None:
        """What the next opportunity of this token is sized by."""
        able = [
            quote
            for quote in quotes
            if (quote.usable or quote.reason in _SHORT) and quote.lender is not LenderId.FLASH_SWAP
        ]
        most = max((quote.available for quote in able if quote.available), default=None)
        cost = replace(self.loan_cost(token.address), most=most)
        if chosen is not None and chosen.fee is not None:
            fee_ppm = div_up(chosen.fee * PPM, chosen.amount) if chosen.amount else 0
            cost = replace(cost, fee_ppm=fee_ppm, gas=chosen.gas_overhead)
        self._loan_costs[token.address] = cost

    def offered(
        self, opportunity: Opportunity, state: MarketState, fees: Fees, rate: ConversionRate | None
    ) -> Opportunity:
        """As `fitted`; but what would not pay its gas so stays what it is.

        A loan that costs less may be there again, and only quotes tell.
        """
        fitted = self.fitted(opportunity, state)
        if fitted is opportunity:
            return opportunity
        candidate = self._unquoted(fitted, rate, state, fees)
        return fitted if check_gas_cost(candidate, self._validator.policy).passed else opportunity

    def pays_at_all(self, one: Ranked, state: MarketState, fees: Fees) -> Dropped | None:
        """The cheapest "no": gas alone, with a loan that costs nothing, already takes the profit."""
        candidate = self._unquoted(one.opportunity, one.rate, state, fees)
        check = check_gas_cost(candidate, self._validator.policy)
        if check.passed:
            return None
        return replace(self._dropped(candidate, (check,), check.check, fees), ranked=one)

    def _unquoted(
        self, opportunity: Opportunity, rate: ConversionRate | None, state: MarketState, fees: Fees
    ) -> Candidate:
        return Candidate(
            opportunity=opportunity,
            state=state,
            wrapped_native=self._wrapped_native,
            rate=rate,
            quotes=(),
            chosen=None,
            gas_price=fees.price,
            now=self._wall_clock(),
        )

    async def decide(
        self,
        opportunity: Opportunity,
        state: MarketState,
        fees: Fees,
        ticket_id: str,
        last_block: int,
        through: LenderId | None = None,
    ) -> Ticket | Dropped:
        """Quote all lenders, check, simulate the very calldata that would be sent.

        `state` and the simulation stand on the same block. `through` names the one lender to use, without a fallback
        leg; else it is the cheapest.
        """
        token, block = opportunity.token, state.block
        rate = state.conversion(token, self._wrapped_native)
        quotes = await self._manager.quote_all(
            opportunity.amount_in,
            token,
            block,
            GasView(fees.price, rate, self.measured_overheads, self.tracks),
            [hop.pool for hop in opportunity.path.hops],
        )
        chosen = cheapest([quote for quote in quotes if through in (None, quote.lender)])
        if through is None:
            self._learn(token, quotes, chosen)
        candidate = self._candidate(opportunity, state, fees, quotes, chosen)
        verdict = self._validator.screen(candidate)
        if verdict.failed or chosen is None or rate is None:
            failed = verdict.failed.check if verdict.failed else "loan"
            return self._dropped(candidate, verdict.checks, failed, fees)
        return await self._simulated(
            candidate, chosen, rate, fees, ticket_id, last_block, alone=through is not None
        )

    def _dropped(
        self, candidate: Candidate, checks: tuple[CheckResult, ...], check: str, fees: Fees
    ) -> Dropped:
        profit = candidate.simulated_profit
        if profit is None:
            profit = candidate.opportunity.gross_profit - candidate.loan_fee
        net = (
            None
            if candidate.rate is None
            else candidate.rate.to_wei_down(profit) - candidate.gas * fees.price
        )
        return Dropped(candidate.opportunity, candidate.quotes, checks, check, net)

    async def _simulated(
        self,
        candidate: Candidate,
        chosen: LoanQuote,
        rate: ConversionRate,
        fees: Fees,
        ticket_id: str,
        last_block: int,
        *,
        alone: bool,
    ) -> Ticket | Dropped:
        leg = await self._leg(candidate, chosen, rate, fees, ticket_id, last_block)
        candidate = _with(candidate, leg)
        verdict = await self._validator.validate_opportunity(candidate)
        profit = leg.simulation.profit
        head = candidate.state.block
        limit = self._gas_limit(leg.simulation.gas, leg.calldata, head)
        checks = verdict.checks
        if not leg.ladder.steps:
            checks += (
                CheckResult.at_most("fee_ceiling", fees.price, self._gas.max_fee_per_gas, "wei per gas"),
            )
        if not limit.fits:
            checks += (
                CheckResult.at_most("gas_limit", leg.simulation.gas, limit.gas_limit, "gas", limit.reason),
            )
        failed = next((check.check for check in checks if not check.passed), None)
        if failed is not None or profit is None:
            return self._dropped(candidate, checks, failed or "simulation", fees)
        gas_limit = limit.gas_limit
        ladder = self._ladder(gas_limit, fees, leg.ladder.steps[-1].max_fee_per_gas, leg.choice, head)
        funds = _funds(ladder, fees)
        if not all(check.passed for check in funds):
            return self._dropped(candidate, (*checks, *funds), "funds", fees)
        fallback = None
        if not alone:
            fallback = await self._fallback(candidate, chosen, rate, fees, ticket_id, last_block, ladder)
        digest = digest_of(
            chain_id=self._chain_id,
            wallet=self._wallet.address,
            executor=self._wallet.executor,
            calldata=leg.calldata,
            lender=chosen.lender,
            ladder=ladder,
            gas_limit=gas_limit,
            min_profit=leg.floor,
            last_block=last_block,
            fallback=fallback,
        )
        return Ticket(
            id=ticket_id,
            digest=digest,
            opportunity=candidate.opportunity,
            quotes=candidate.quotes,
            lender=chosen.lender,
            ladder=ladder,
            rate=rate,
            checks=(*checks, *funds),
            wallet=self._wallet.address,
            executor=self._wallet.executor,
            chain_id=self._chain_id,
            calldata=leg.calldata,
            gas_limit=gas_limit,
            min_profit=leg.floor,
            last_block=last_block,
            expected_profit=profit,
            expected_gas=leg.simulation.gas,
            expected_net_wei=rate.to_wei_down(profit) - leg.simulation.gas * fees.price,
            simulated_block=candidate.state.block,
            fallback=fallback,
        )

    async def _leg(
        self,
        candidate: Candidate,
        quote: LoanQuote,
        rate: ConversionRate,
        fees: Fees,
        ticket_id: str,
        last_block: int,
    ) -> Leg:
        """Floor, fee steps and bytes through one lender, and what those bytes do on the candidate's block."""
        candidate = replace(candidate, chosen=quote)
        gas = candidate.gas
        for _ in range(2):
            choice, floor, ladder = self._floor_and_ladder(candidate, gas, rate, fees)
            source = quote.source if quote.lender in POOL_LENDERS else None
            calldata = encode_execute(
                ticket_id, quote.lender, candidate.opportunity, floor, last_block, source
            )
            block = candidate.state.block
            simulation = await self._simulate(
                calldata, self._gas_limit(2 * gas, calldata, block).gas_limit, block
            )
            if not simulation.success or simulation.gas <= gas:
                break
            # More gas than estimated: the floor in the bytes must cover it, so they are made again.
            gas = simulation.gas
        return Leg(quote, calldata, floor, ladder, simulation, choice)

    async def _fallback(
        self,
        candidate: Candidate,
        chosen: LoanQuote,
        rate: ConversionRate,
        fees: Fees,
        ticket_id: str,
        last_block: int,
        ladder: FeeLadder,
    ) -> Fallback | None:
        """The second cheapest lender's leg, if it passes the same checks within the same fee steps."""
        second = cheapest([quote for quote in candidate.quotes if quote.lender != chosen.lender])
        if second is None:
            return None
        leg = await self._leg(candidate, second, rate, fees, ticket_id, last_block)
        verdict = await self._validator.validate_opportunity(_with(replace(candidate, chosen=second), leg))
        if verdict.failed or leg.simulation.profit is None:
            return None
        # The ticket has one ladder: at its last step this leg's floor must pay too.
        worst = rate.from_wei_up(leg.simulation.gas * ladder.steps[-1].max_fee_per_gas)
        limit = self._gas_limit(leg.simulation.gas, leg.calldata, candidate.state.block)
        if leg.floor < worst or not limit.fits:
            return None
        return Fallback(
            lender=second.lender,
            calldata=leg.calldata,
            gas_limit=limit.gas_limit,
            min_profit=leg.floor,
            expected_profit=leg.simulation.profit,
            expected_gas=leg.simulation.gas,
            expected_net_wei=rate.to_wei_down(leg.simulation.profit) - leg.simulation.gas * fees.price,
        )

    async def confirmed(
        self, ticket: Ticket, state: MarketState, fees: Fees
    ) -> tuple[Ticket | None, tuple[CheckResult, ...]]:
        """A ticket made on this very block, as enough nodes see it; where there is one node, it has said so already.

        Returns what `still_good` returns.
        """
        if self._node.opinions == 1:
            return ticket, ()
        return await self._recheck(ticket, state, fees)

    async def still_good(
        self, ticket: Ticket, state: MarketState, fees: Fees, least: int | None = None
    ) -> tuple[Ticket | None, tuple[CheckResult, ...]]:
        """The ticket's own bytes, re-quoted and re-simulated on the newest block.

        `least` nodes have to agree on it, None: as many as are configured. Returns the ticket with its expectation
        brought up to date, or None with the checks that say what moved. Where the approved lender no longer lends or
        is no longer the cheapest, the ticket's fallback leg takes its place, if that one is; the approved bytes,
        floors and fee ceiling never change here.
        """
        quotes = await self._manager.quote_all(
            ticket.opportunity.amount_in,
            ticket.opportunity.token,
            state.block,
            GasView(fees.price, ticket.rate, self.measured_overheads, self.tracks),
            [hop.pool for hop in ticket.opportunity.path.hops],
        )
        fresh, checks = await self._recheck(replace(ticket, quotes=quotes), state, fees, least)
        if fresh is not None or ticket.fallback is None:
            return fresh, checks
        lender_failed = {"lender", "cheapest_lender"} & {check.check for check in checks if not check.passed}
        if not lender_failed:
            return None, checks
        leg = ticket.fallback
        other = replace(
            ticket,
            quotes=quotes,
            lender=leg.lender,
            calldata=leg.calldata,
            gas_limit=leg.gas_limit,
            min_profit=leg.min_profit,
            expected_profit=leg.expected_profit,
            expected_gas=leg.expected_gas,
            expected_net_wei=leg.expected_net_wei,
            fallback=None,
        )
        fresh, its_checks = await self._recheck(other, state, fees, least)
        return fresh, its_checks if fresh is not None else checks

    async def _recheck(
        self, ticket: Ticket, state: MarketState, fees: Fees, least: int | None = None
    ) -> tuple[Ticket | None, tuple[CheckResult, ...]]:
        opportunity, quotes = ticket.opportunity, ticket.quotes
        simulation, agreement = await self._agreed(ticket.calldata, ticket.gas_limit, state.block, least)
        mine = next((quote for quote in quotes if quote.lender == ticket.lender), None)
        candidate = replace(
            self._candidate(opportunity, state, fees, quotes, mine),
            floor=ticket.min_profit,
            simulated_profit=simulation.profit,
            simulated_gas=simulation.gas if simulation.success else None,
            simulation_error=simulation.error,
        )
        policy = self._validator.policy
        best = cheapest(quotes)
        dearer = 0
        if (
            mine is not None
            and best is not None
            and mine.total_cost is not None
            and best.total_cost is not None
        ):
            dearer = mine.total_cost - best.total_cost
        checks = (
            # First: where it fails there is no simulation either, and this says why.
            agreement,
            check_simulation(candidate, policy),
            check_gas_cost(candidate, policy),
            check_freshness(candidate, policy),
            CheckResult.at_least(
                "lender", int(mine is not None and mine.usable), 1, "usable", mine.detail if mine else "gone"
            ),
            CheckResult.at_most(
                "cheapest_lender",
                dearer,
                0,
                f"base units of {opportunity.token.symbol}",
                f"against {best.lender}" if best else "",
            ),
            CheckResult.at_most(
                "fee_cap",
                fees.price,
                ticket.ladder.steps[-1].max_fee_per_gas,
                "wei per gas",
                "base fee and tip",
            ),
            *_funds(ticket.ladder, fees),
        )
        if simulation.profit is None or not all(check.passed for check in checks):
            return None, checks
        net = ticket.rate.to_wei_down(simulation.profit) - simulation.gas * fees.price
        return (
            replace(
                ticket,
                expected_profit=simulation.profit,
                expected_gas=simulation.gas,
                expected_net_wei=net,
                simulated_block=state.block,
            ),
            checks,
        )

    def _candidate(
        self,
        opportunity: Opportunity,
        state: MarketState,
        fees: Fees,
        quotes: tuple[LoanQuote, ...],
        chosen: LoanQuote | None,
    ) -> Candidate:
        return Candidate(
            opportunity=opportunity,
            state=state,
            wrapped_native=self._wrapped_native,
            rate=state.conversion(opportunity.token, self._wrapped_native),
            quotes=quotes,
            chosen=chosen,
            gas_price=fees.price,
            now=self._wall_clock(),
        )

    def _floor_and_ladder(
        self, candidate: Candidate, gas: int, rate: ConversionRate, fees: Fees
    ) -> tuple[Choice, int, FeeLadder]:
        """The strategy, the least profit worth an inclusion, and the fee steps at which it still is."""
        profit = rate.to_wei_down(max(0, candidate.opportunity.gross_profit - candidate.loan_fee))
        choice = self._choose(profit, gas, fees)
        block = candidate.state.block
        # The bytes are not there yet; they only count where a run costs less gas than its calldata.
        gas_limit = self._gas_limit(gas, b"", block).gas_limit
        ladder = self._ladder(gas_limit, fees, self._gas.max_fee_per_gas, choice, block)
        first = ladder.steps[0].max_fee_per_gas if ladder.steps else fees.price
        break_even = rate.from_wei_up(gas * first + self._validator.policy.min_net_profit_wei)
        hoped = candidate.opportunity.gross_profit - candidate.loan_fee
        floor = max(1, break_even, mul_div_up(hoped, self._tickets.floor_share_bps, BPS))
        # At the floor, no step may cost more than it brings.
        ceiling = rate.to_wei_down(floor) // gas
        return choice, floor, self._ladder(gas_limit, fees, ceiling, choice, block)

    def _choose(self, profit_wei: int, gas: int, fees: Fees) -> Choice:
        """The strategy for a ticket that lives `tickets.auto_ttl_blocks`."""
        base_fees = (*(sample.base_fee for sample in fees.samples), fees.next_base)
        situation = Situation(
            profit_wei=profit_wei,
            gas_cost_wei=gas * fees.price,
            blocks_left=self._tickets.auto_ttl_blocks,
            block_time_s=self._block_time_s,
            base_fees=base_fees,
            record=self.inclusion,
        )
        return choose_strategy(self._gas, situation, fees.strategy)

    def _ladder(self, gas_limit: int, fees: Fees, ceiling: int, choice: Choice, head: BlockRef) -> FeeLadder:
        name = fees.strategy or self._gas.strategy
        return build_ladder(
            name,
            choice.strategy,
            gas_limit,
            fees.next_base,
            fees.tip,
            ceiling_of(gas_limit, ceiling, self._gas.max_fee_per_gas, self._gas.max_cost_wei),
            self._block_time_s,
            history=fees.samples,
            head=head.number,
            block_gas_limit=head.gas_limit,
            chosen=choice.name,
            why=choice.reason if name == DYNAMIC else "",
        )

    def _gas_limit(self, gas: int, calldata: bytes, head: BlockRef) -> GasLimit:
        return gas_limit_for(gas, calldata, self._gas.gas_limit_buffer, head.gas_limit or None)

    async def _agreed(
        self, calldata: bytes, gas_limit: int, block: BlockRef, least: int | None
    ) -> tuple[Simulation, CheckResult]:
        """The simulation as enough nodes say it on the same block; and whether they do."""
        run = self._running(calldata, gas_limit, block)
        try:
            agreed = await self._node.agreed(run, "the simulation of a ticket", least)
        except NodesDisagree as error:
            check = CheckResult.at_least(AGREEMENT, error.agreed, error.least, "nodes that agree", str(error))
            return Simulation(False, None, 0, str(error)), check
        return interpret(agreed.value), CheckResult.at_least(
            AGREEMENT, len(agreed.by), agreed.least, "nodes that agree", str(agreed)
        )

    async def why_not(self, calldata: bytes, gas_limit: int, block: BlockRef) -> str:
        """Why these bytes would revert on `block`; empty where they would not."""
        simulation = await self._simulate(calldata, gas_limit, block)
        return "" if simulation.success else simulation.error or "the simulation failed"

    async def _simulate(self, calldata: bytes, gas_limit: int, block: BlockRef) -> Simulation:
        return interpret(await self._node.one(self._running(calldata, gas_limit, block)))

    def _running(
        self, calldata: bytes, gas_limit: int, block: BlockRef
    ) -> Callable[[Node], Awaitable[Simulated]]:
        transaction = as_call(self._wallet.address, self._wallet.executor, calldata, gas_limit)

        async def run(node: Node) -> Simulated:
            outcome = await node.simulate(transaction, block, round(self._block_time_s))
            # A simulation is asked for by number: what stands there must be the block that is meant.
            if (await node.block(block.number)).hash != block.hash:
                raise UnknownBlock(f"{node.where}: block {block.number} is not {block.hash} any more")
            return outcome

        return run


def _with(candidate: Candidate, leg: Leg) -> Candidate:
    simulation = leg.simulation
    return replace(
        candidate,
        floor=leg.floor,
        simulated_profit=simulation.profit,
        simulated_gas=simulation.gas if simulation.success else None,
        simulation_error=simulation.error,
    )


def as_call(sender: Address, to: Address, calldata: bytes, gas_limit: int) -> dict[str, str]:
    """A transaction as a node takes it to run, unsigned."""
    return {"from": sender, "to": to, "data": "0x" + calldata.hex(), "gas": hex(gas_limit)}


def interpret(outcome: Simulated) -> Simulation:
    """A simulated run of Executor.execute as profit, gas and reason."""
    if outcome.success:
        return Simulation(True, decode_uint(outcome.return_data, "Executor.execute"), outcome.gas_used, "")
    if outcome.return_data:
        reason = decode_revert(outcome.return_data, own=EXECUTOR_ERRORS).sentence
    else:
        reason = f"{outcome.error or 'reverted'} without data after {outcome.gas_used} gas"
    return Simulation(False, observed_profit(outcome.return_data), outcome.gas_used, reason)


def _funds(ladder: FeeLadder, fees: Fees) -> tuple[CheckResult, ...]:
    """Whether the wallet can pay the ladder's last step, and a cancel that outbids it."""
    if fees.funds is None:
        return ()
    needed = ladder.worst_cost + ladder.cancel_headroom
    return (CheckResult.at_least("funds", fees.funds, needed, "wei", "worst case and a cancel beyond it"),)
