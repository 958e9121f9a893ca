"""What a receipt says of an execution, beside the balances of its block and the one before, to the wei."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from arbtui.chain import Node, read_balances
from arbtui.domain import NATIVE, ConversionRate, Receipt, Settlement, Token
from arbtui.engine.deciding import as_call, interpret
from arbtui.engine.policy import WalletPolicy
from arbtui.errors import MalformedAnswer, NodeError, NodesDisagree, NodeUnreachable, UnknownBlock, WrongChain
from arbtui.execution import differences, settle
from arbtui.execution.ports import Plan
from arbtui.monitor.reconcile import amounts_json, unexplained
from arbtui.store import Batch
from arbtui.units import Address

Write = Callable[[Batch], None]

#: Seconds that a trace may keep the engine from the next block, and as many again running the bytes once more.
TRACE_S = 2.0

_UNTOLD = (NodeError, NodeUnreachable, NodesDisagree, MalformedAnswer, UnknownBlock, WrongChain, TimeoutError)
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SettlementTerms:
    """What a settlement needs beyond the receipt; of a live ticket, or read back from the store after a restart."""

    asset: Address
    rate: ConversionRate
    tokens: tuple[Address, ...]


class Settler:
    """Settlements of one wallet, executor and treasury."""

    def __init__(
        self,
        node: Node,
        wallet: WalletPolicy,
        multicall: Address,
        tokens: Mapping[Address, Token],
        native_symbol: str,
    ) -> None:
        self._node = node
        self._wallet = wallet
        self._multicall = multicall
        self._tokens = {**tokens, NATIVE: Token(NATIVE, native_symbol, 18)}

    async def settlement(
        self,
        execution_id: str,
        terms: SettlementTerms | None,
        receipt: Receipt,
        beside: Sequence[Receipt] = (),
        *,
        old: bool = False,
    ) -> Settlement:
        """Without terms the asset is unknown; gas is then settled in the native coin.

        `beside` are our other transactions in the same block: the block's balances hold what they did, too. Of an
        `old` block the node may have let go of the state: `reconciled` is then None, and the Reconciler's comparison
        from final block to final block is the only one.
        """
        terms = terms or SettlementTerms(NATIVE, ConversionRate(self._tokens[NATIVE], 1, 1, 0, ()), ())
        settlement, *others = [
            settle(
                execution_id,
                mined,
                executor=self._wallet.executor,
                wallet=self._wallet.address,
                treasury=self._wallet.treasury,
                asset=terms.asset,
                rate=terms.rate,
            )
            for mined in (receipt, *beside)
        ]
        deltas = [delta for one in (settlement, *others) for delta in one.deltas]
        accounts = (self._wallet.executor, self._wallet.address, self._wallet.treasury)
        touched = {delta.token for delta in deltas} | set(terms.tokens)
        tokens = sorted(touched - {NATIVE})
        block = await self._node.block(settlement.block_hash)
        parent = await self._node.block(block.parent_hash)
        try:
            before = await read_balances(self._node, accounts, tokens, parent, self._multicall)
            after = await read_balances(self._node, accounts, tokens, block, self._multicall)
        except NodeError as error:
            if not old:
                raise
            lacking = f"the node has no state of block {block.number} any more: {error}"
            return replace(settlement, reconciled=None, difference=lacking)
        found = differences([settlement, *others], before, after)
        return replace(
            settlement,
            reconciled=not found,
            difference="; ".join(found),
            unexplained=unexplained(before, after, deltas),
        )

    async def why_reverted(self, receipt: Receipt, plan: Plan | None) -> str:
        """What a mined revert said, which no receipt tells, and what it means: one line, whatever the node can do.

        As traced in its place; where no node traces it in time, as the same bytes run on the block before, which leaves
        out what came first in its own block, and says so.
        """
        try:
            async with asyncio.timeout(TRACE_S):
                traced = await self._node.traced(receipt.tx_hash)
            if not traced.success:
                return interpret(traced).error
        except _UNTOLD as error:
            _log.info("no trace of %s: %s", receipt.tx_hash, _told(error))
        if plan is None:
            return "why is unknown: no node traced it"
        transaction = as_call(self._wallet.address, plan.to, plan.data, plan.gas)
        try:
            async with asyncio.timeout(TRACE_S):
                block = await self._node.block(receipt.block_hash)
                parent = await self._node.block(block.parent_hash)
                run = interpret(
                    await self._node.simulate(transaction, parent, block.timestamp - parent.timestamp)
                )
        except _UNTOLD as error:
            return f"why is unknown: no node traced it, and none runs it again ({_told(error)})"
        if run.success:
            return "on the block before it would have passed: something came first in its own block (no node traced it)"
        return f"{run.error} (as run on the block before: no node traced it)"

    def told(self, settlement: Settlement) -> list[Write]:
        """The rows of a settlement, with an incident where it does not reconcile."""
        roles = {
            self._wallet.executor: "executor",
            self._wallet.address: "wallet",
            self._wallet.treasury: "treasury",
        }
        writes: list[Write] = [lambda b: b.settlement(settlement, roles, self._tokens)]
        if settlement.reconciled is False:
            amounts = amounts_json(settlement.unexplained)
            writes.append(lambda b: b.unreconciled(settlement, amounts))
            writes.append(
                lambda b: b.incident(
                    "unreconciled", settlement.difference, execution_id=settlement.execution_id
                )
            )
        return writes


def _told(error: BaseException) -> str:
    return f"no answer within {TRACE_S:g} s" if isinstance(error, TimeoutError) else str(error)
