"""FlashLoanManager: quote every lender at one block, choose the cheapest all-in, execute through it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Any

from arbtui.domain import BlockRef, Call, CallResult, LenderId, LoanQuote, Token
from arbtui.errors import UsageError
from arbtui.lenders.base import GasView, Lender, Reason, Terms, refuse
from arbtui.units import Address

#: Reads at one block, in one round trip; the results in the order of the calls.
Reader = Callable[[Sequence[Call], BlockRef], Awaitable[list[CallResult]]]
#: The newest block and what gas costs at it, for a token.
Now = Callable[[Token], Awaitable[tuple[BlockRef, GasView]]]
#: Executes `params` through the quoted lender; what it returns is handed on.
Submit = Callable[[LoanQuote, dict[str, Any]], Awaitable[Any]]


class FlashLoanManager:
    """`read` and `now` come from the chain; `submit`, where given, from the engine.

    Facts that never change for a token (an aToken, a fee collector) are asked once and kept.
    """

    def __init__(
        self, lenders: Sequence[Lender], read: Reader, now: Now, submit: Submit | None = None
    ) -> None:
        self.lenders = tuple(lenders)
        self._read = read
        self._now = now
        self._submit = submit
        self._facts: dict[tuple[LenderId, Address], Any] = {}

    async def quote_all(
        self,
        amount: int,
        token: Token,
        block: BlockRef,
        gas: GasView,
        path_pools: Collection[Address] = (),
    ) -> tuple[LoanQuote, ...]:
        """Every lender's quote for `amount` base units of `token` at `block`, in one round trip.

        A lender that is itself a pool of the path is refused: it is locked during its own callback.
        """
        await self._discover(token.address, block)
        calls: list[Call] = []
        spans: list[tuple[Lender, slice | None]] = []
        for lender in self.lenders:
            facts = self._facts[lender.id, token.address]
            if isinstance(facts, Terms):
                spans.append((lender, None))
                continue
            reads = lender.reads(token.address, amount, facts)
            spans.append((lender, slice(len(calls), len(calls) + len(reads))))
            calls.extend(reads)
        answers = await self._read(calls, block)
        quotes = []
        for lender, span in spans:
            facts = self._facts[lender.id, token.address]
            terms = facts if span is None else lender.terms(token.address, amount, facts, answers[span])
            if terms.reason is None and lender.address in path_pools:
                terms = refuse(
                    Reason.COLLIDES_WITH_PATH,
                    f"{lender.address} is a pool of the path",
                    terms.available,
                    terms.fee,
                )
            quotes.append(_quote(lender, token, amount, block, terms, gas))
        return tuple(quotes)

    async def find_optimal_flash_loan(self, amount: int, token: Token) -> LoanQuote | None:
        """The cheapest usable lender at the newest block, all costs counted; None if none can lend."""
        block, gas = await self._now(token)
        return cheapest(await self.quote_all(amount, token, block, gas))

    async def execute_flash_loan(self, protocol: str, version: str, params: dict[str, Any]) -> Any:
        """Execute through exactly that lender, or return its quote that says why not.

        `params` holds `token` (Token), `amount` (base units) and what the engine's submit needs (`path`, …).
        Raises UsageError for a lender that is not configured here, and where nothing can submit.
        """
        lender = next((x for x in self.lenders if (x.protocol, x.version) == (protocol, version)), None)
        if lender is None:
            known = ", ".join(f"{x.protocol} {x.version}" for x in self.lenders)
            raise UsageError(f"no lender {protocol} {version} is configured here; there are: {known}")
        if self._submit is None:
            raise UsageError("this manager only quotes: it was built without a way to send transactions")
        token, amount = params["token"], params["amount"]
        block, gas = await self._now(token)
        quotes = await self.quote_all(amount, token, block, gas)
        quote = next(quote for quote in quotes if quote.lender == lender.id)
        return await self._submit(quote, params) if quote.usable else quote

    async def _discover(self, token: Address, block: BlockRef) -> None:
        missing = [lender for lender in self.lenders if (lender.id, token) not in self._facts]
        calls = [(lender, lender.discovery(token)) for lender in missing]
        answers = await self._read([call for _, some in calls for call in some], block) if calls else []
        position = 0
        for lender, some in calls:
            facts = lender.discovered(token, answers[position : position + len(some)])
            position += len(some)
            self._facts[lender.id, token] = facts


def _quote(
    lender: Lender, token: Token, amount: int, block: BlockRef, terms: Terms, gas: GasView
) -> LoanQuote:
    measured = gas.overheads.get(lender.id)
    overhead = lender.gas_prior if measured is None else measured
    gas_cost = None if gas.rate is None else gas.rate.from_wei_up(overhead * gas.price)
    total = None if gas_cost is None or terms.fee is None else gas_cost + terms.fee
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
    )


def cheapest(quotes: Sequence[LoanQuote]) -> LoanQuote | None:
    """The usable quote of least total cost; a tie goes to the lower fee, then to the lender's id."""
    usable = [quote for quote in quotes if quote.usable and quote.total_cost is not None]
    return min(usable, key=lambda q: (q.total_cost, q.fee, str(q.lender)), default=None)


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
        else:
            out[quote.lender] = (
                f"dearer by {quote.total_cost - chosen.total_cost} base units: fee {quote.fee} + gas "
                f"{quote.gas_cost} against fee {chosen.fee} + gas {chosen.gas_cost}"
            )
    return out
