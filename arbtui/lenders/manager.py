"""FlashLoanManager: quote every lender at one block, choose the cheapest all-in, execute through it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Container, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from arbtui.abi import encode_call
from arbtui.domain import LENDER_CODES, POOL_LENDERS, BlockRef, Call, CallResult, LenderId, LoanQuote, Token
from arbtui.errors import UsageError
from arbtui.lenders.base import (
    Discovery,
    GasView,
    Lender,
    OfPath,
    Reason,
    Terms,
    Track,
    found_address,
    refuse,
)
from arbtui.units import Address

#: Reads at one block, in one round trip; the results in the order of the calls.
Reader = Callable[[Sequence[Call], BlockRef], Awaitable[list[CallResult]]]
#: The newest block and what gas costs at it, for a token.
Now = Callable[[Token], Awaitable[tuple[BlockRef, GasView]]]
#: Executes `params` through the quoted lender; what it returns is handed on.
Submit = Callable[[LoanQuote, dict[str, Any]], Awaitable[Any]]

#: Blocks after which what does not change is asked again: registries do turn to new contracts, now and then.
FACTS_LIVE_BLOCKS = 600
#: What a lender's contract says of itself to nobody today, it may say in the next block.
_PASSING = frozenset({Reason.NO_CODE, Reason.UNREADABLE})
#: Lenders without an address of their own in the executor: it checks the pool, or needs none.
_WITHOUT_ADDRESS = POOL_LENDERS | {LenderId.OWN, LenderId.FLASH_SWAP}


@dataclass(frozen=True, slots=True)
class _Facts:
    value: Any
    block: int

    @property
    def live(self) -> int:
        """For so many blocks it is not asked again."""
        passing = isinstance(self.value, Terms) and self.value.reason in _PASSING
        return 1 if passing else FACTS_LIVE_BLOCKS


class FlashLoanManager:
    """`read` and `now` come from the chain; `submit`, where given, from the engine.

    Facts that hardly ever change for a token (an aToken, a fee collector) are asked once and kept for
    FACTS_LIVE_BLOCKS; a contract that did not answer is asked again with the next block. Lenders in `off` are quoted
    and never usable; neither are those for which the executor contract has no code, nor, where `executor` is given
    and answers, those that its owner has switched off or that it borrows from elsewhere.
    """

    def __init__(
        self,
        lenders: Sequence[Lender],
        read: Reader,
        now: Now,
        submit: Submit | None = None,
        *,
        off: Container[LenderId] = (),
        executor_has: Container[LenderId] = LENDER_CODES,
        executor: Address | None = None,
    ) -> None:
        self.lenders = tuple(lenders)
        self.submit = submit
        self._read = read
        self._now = now
        self.off = off
        self._executor_has = executor_has
        self._executor = executor
        self._facts: dict[tuple[LenderId, Address], _Facts] = {}

    async def quote_all(
        self,
        amount: int,
        token: Token,
        block: BlockRef,
        gas: GasView,
        path: Sequence[Address] = (),
    ) -> tuple[LoanQuote, ...]:
        """Every lender's quote for `amount` base units of `token` at `block`, in one round trip.

        `path` are the pools of what is traded, in their order. A lender's contract that is one of them is refused: it
        is locked during its own callback.
        """
        known = await self._discovered(token.address, block)
        calls: list[Call] = []
        spans: list[tuple[Lender, Any, slice, slice]] = []
        for lender, facts in zip(self.lenders, known, strict=True):
            start = len(calls)
            calls.extend(() if isinstance(facts, Terms) else lender.reads(token.address, amount, facts))
            middle = len(calls)
            calls.extend(self._executor_calls(lender))
            spans.append((lender, facts, slice(start, middle), slice(middle, len(calls))))
        answers = await self._read(calls, block)
        quotes = []
        for lender, facts, own, of_executor in spans:
            terms = (
                facts
                if isinstance(facts, Terms)
                else lender.terms(token.address, amount, facts, answers[own])
            )
            if path and isinstance(lender, OfPath):
                terms = lender.on_path(token.address, amount, path)
            else:
                terms = _beside(terms, path)
            terms = self._may_use(lender, terms, answers[of_executor])
            quotes.append(_quote(lender, token, amount, block, terms, gas))
        return tuple(quotes)

    async def strangers(self, token: Token, block: BlockRef) -> dict[LenderId, Terms]:
        """Lenders whose contracts do not answer as theirs do: nothing is there, or something else."""
        known = await self._discovered(token.address, block)
        return {
            lender.id: facts
            for lender, facts in zip(self.lenders, known, strict=True)
            if isinstance(facts, Terms)
            and facts.reason in (Reason.NO_CODE, Reason.UNREADABLE)
            and lender.id not in self.off
        }

    async def find_optimal_flash_loan(self, amount: int, token: Token) -> LoanQuote | None:
        """The cheapest usable lender at the newest block, all costs counted; None if none can lend."""
        block, gas = await self._now(token)
        return cheapest(await self.quote_all(amount, token, block, gas))

    async def execute_flash_loan(self, protocol: str, version: str, params: dict[str, Any]) -> Any:
        """Execute through exactly that lender, or return its quote that says why not.

        `params` holds `token` (Token), `amount` (base units) and `pools` (addresses, in the order in which they are
        traded from the token back to it). Returns what the engine's submit returns, or the LoanQuote that is not
        usable. Raises UsageError for a lender that is not configured here, and where nothing can submit.
        """
        chosen = [x for x in self.lenders if (x.protocol, x.version) == (protocol, version)]
        if not chosen:
            known = ", ".join(f"{x.protocol} {x.version}" for x in self.lenders)
            raise UsageError(f"no lender {protocol} {version} is configured here; there are: {known}")
        if self.submit is None:
            raise UsageError(
                "this manager only quotes: an engine with --stage live on a local chain is what executes"
            )
        token, amount = params["token"], params["amount"]
        block, gas = await self._now(token)
        quotes = await self.quote_all(amount, token, block, gas, params.get("pools", ()))
        quote = next(quote for quote in quotes if quote.lender == chosen[0].id)
        return await self.submit(quote, params) if quote.usable else quote

    def _executor_calls(self, lender: Lender) -> tuple[Call, ...]:
        """Whether the deployed executor may borrow there, and where: its owner decides both."""
        code = LENDER_CODES.get(lender.id)
        if self._executor is None or code is None:
            return ()
        return tuple(
            Call(self._executor, encode_call(f"{name}(uint8)", code), f"Executor.{name}({code})")
            for name in ("lenderAllowed", "lenders")
        )

    def _may_use(self, lender: Lender, terms: Terms, of_executor: Sequence[CallResult]) -> Terms:
        """`terms`, or why they serve nothing. An executor that is not there says nothing either way."""
        if terms.reason is not None:
            return terms

        def no(reason: Reason, detail: str) -> Terms:
            return refuse(reason, detail, terms.available, terms.fee, terms.source)

        if lender.id in self.off:
            return no(Reason.DISABLED, f"lenders.{lender.id}.enabled is false; {terms.detail}")
        if lender.id not in self._executor_has:
            detail = f"the executor contract has no code for {lender.id}; {terms.detail}"
            return no(Reason.NOT_IN_EXECUTOR, detail)
        if not all(answer.success and len(answer.data) == 32 for answer in of_executor) or not of_executor:
            return terms
        allowed, place = of_executor
        if not any(allowed.data):
            detail = f"its owner has not allowed it: setLender({LENDER_CODES[lender.id]}, true)"
            return no(Reason.OFF_IN_EXECUTOR, f"the executor does not borrow there; {detail}; {terms.detail}")
        known = found_address(place)
        if lender.id not in _WITHOUT_ADDRESS and known != terms.source:
            detail = f"the executor borrows from {known}, not from {terms.source}; {terms.detail}"
            return no(Reason.NOT_IN_EXECUTOR, detail)
        return terms

    async def _discovered(self, token: Address, block: BlockRef) -> list[Any]:
        """Each lender's facts of `token`, kept or asked at `block`: a round trip for each step of the longest."""
        asking: dict[LenderId, tuple[Discovery[Any], tuple[Call, ...]]] = {}
        for lender in self.lenders:
            facts = self._facts.get((lender.id, token))
            if facts is None or not 0 <= block.number - facts.block < facts.live:
                self._step(asking, lender.id, token, block, lender.discover(token), None)
        while asking:
            steps, asking = asking, {}
            calls = [call for _, some in steps.values() for call in some]
            answers = await self._read(calls, block)
            position = 0
            for lender_id, (discovery, some) in steps.items():
                mine = answers[position : position + len(some)]
                position += len(some)
                self._step(asking, lender_id, token, block, discovery, mine)
        return [self._facts[lender.id, token].value for lender in self.lenders]

    def _step(
        self,
        asking: dict[LenderId, tuple[Discovery[Any], tuple[Call, ...]]],
        lender_id: LenderId,
        token: Address,
        block: BlockRef,
        discovery: Discovery[Any],
        answers: Sequence[CallResult] | None,
    ) -> None:
        """Move one discovery on; what it asks next goes into `asking`, what it found into the facts."""
        try:
            calls = next(discovery) if answers is None else discovery.send(answers)
        except StopIteration as end:
            self._facts[lender_id, token] = _Facts(end.value, block.number)
        else:
            asking[lender_id] = (discovery, calls)


def _beside(terms: Terms, path: Sequence[Address]) -> Terms:
    """The first of a lender's contracts that is no pool of the path; a refusal where each is one."""
    first = terms
    while terms.reason is None and terms.source in path:
        if terms.instead is None:
            detail = (
                f"{first.source} is a pool of the path, and locked during its own callback; {first.detail}"
            )
            return refuse(Reason.COLLIDES_WITH_PATH, detail, first.available, first.fee, first.source)
        terms = terms.instead
    return terms


def _quote(
    lender: Lender, token: Token, amount: int, block: BlockRef, terms: Terms, gas: GasView
) -> LoanQuote:
    measured = gas.overheads.get(lender.id)
    overhead = lender.gas_prior if measured is None else measured
    gas_cost = None if gas.rate is None else gas.rate.from_wei_up(overhead * gas.price)
    total = None if gas_cost is None or terms.fee is None else gas_cost + terms.fee
    track = gas.tracks.get(lender.id, Track())
    return LoanQuote(
        lender=lender.id,
        protocol=lender.protocol,
        version=lender.version,
        token=token,
        amount=amount,
        block=block.number,
        usable=terms.reason is None,
        reason=None if terms.reason is None else str(terms.reason),
        detail=terms.detail,
        available=terms.available,
        fee=terms.fee,
        gas_overhead=overhead,
        gas_overhead_source="prior" if measured is None else "measured",
        gas_cost=gas_cost,
        total_cost=total,
        source=terms.source,
        settled=track.settled,
        executed=track.executed,
    )


def reliability(quote: LoanQuote) -> Fraction:
    """Share of executions through the lender that settled, by the rule of succession: 1/2 where there was none.

    So a lender that has proved itself goes before an untried one, and that one before one that has failed.
    """
    return Fraction(quote.settled + 1, quote.executed + 2)


def cheapest(quotes: Sequence[LoanQuote]) -> LoanQuote | None:
    """The usable quote of least total cost; a tie goes to the more reliable, then to the lender's id."""
    usable = [quote for quote in quotes if quote.usable and quote.total_cost is not None]
    return min(usable, key=lambda q: (q.total_cost, -reliability(q), str(q.lender)), default=None)


def why_lost(quotes: Sequence[LoanQuote], chosen: LoanQuote) -> dict[LenderId, str]:
    """For each quote that was not chosen, the sentence that says why."""
    out: dict[LenderId, str] = {}
    for quote in quotes:
        if quote.lender == chosen.lender:
            continue
        if not quote.usable:
            out[quote.lender] = f"cannot lend: {quote.reason} ({quote.detail})"
        elif quote.total_cost is None or chosen.total_cost is None:
            out[quote.lender] = "its cost in the token is unknown: no pool path to the native coin"
        elif quote.total_cost == chosen.total_cost and reliability(quote) == reliability(chosen):
            out[quote.lender] = f"as dear as {chosen.lender} and as reliable: the first by name is taken"
        elif quote.total_cost == chosen.total_cost:
            out[quote.lender] = (
                f"as dear as {chosen.lender}; of its executions {quote.settled} of {quote.executed} settled, "
                f"against {chosen.settled} of {chosen.executed}"
            )
        else:
            out[quote.lender] = (
                f"dearer by {quote.total_cost - chosen.total_cost} base units: fee {quote.fee} + gas "
                f"{quote.gas_cost} against fee {chosen.fee} + gas {chosen.gas_cost}"
            )
    return out
