"""What a receipt says of an execution, beside the balances of its block and the one before, to the wei."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from arbtui.chain import Node, read_balances
from arbtui.domain import NATIVE, ConversionRate, Receipt, Settlement, Token
from arbtui.engine.policy import WalletPolicy
from arbtui.execution import differences, settle
from arbtui.store import Batch
from arbtui.units import Address

Write = Callable[[Batch], None]


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
        self, execution_id: str, terms: SettlementTerms | None, receipt: Receipt
    ) -> Settlement:
        """Without terms the asset is unknown; gas is then settled in the native coin."""
        terms = terms or SettlementTerms(NATIVE, ConversionRate(self._tokens[NATIVE], 1, 1, 0, ()), ())
        settlement = settle(
            execution_id,
            receipt,
            executor=self._wallet.executor,
            wallet=self._wallet.address,
            treasury=self._wallet.treasury,
            asset=terms.asset,
            rate=terms.rate,
        )
        accounts = (self._wallet.executor, self._wallet.address, self._wallet.treasury)
        touched = {delta.token for delta in settlement.deltas} | set(terms.tokens)
        tokens = sorted(touched - {NATIVE})
        block = await self._node.block(settlement.block_hash)
        parent = await self._node.block(block.parent_hash)
        before = await read_balances(self._node, accounts, tokens, parent, self._multicall)
        after = await read_balances(self._node, accounts, tokens, block, self._multicall)
        found = differences([settlement], before, after)
        return replace(settlement, reconciled=not found, difference="; ".join(found))

    def told(self, settlement: Settlement) -> list[Write]:
        """The rows of a settlement, with an incident where it does not reconcile."""
        roles = {
            self._wallet.executor: "executor",
            self._wallet.address: "wallet",
            self._wallet.treasury: "treasury",
        }
        writes: list[Write] = [lambda b: b.settlement(settlement, roles, self._tokens)]
        if settlement.reconciled is False:
            writes.append(
                lambda b: b.incident(
                    "unreconciled", settlement.difference, execution_id=settlement.execution_id
                )
            )
        return writes
