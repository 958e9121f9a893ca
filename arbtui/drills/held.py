"""A pool that keeps a transaction and whose miners leave it out: what anvil, which mines all it has, cannot show."""

from __future__ import annotations

from typing import Any

from arbtui.chain import Node
from arbtui.devnet.faults import FaultProxy, Forward, Reply, answer, error
from arbtui.devnet.pools import Pool, Refusal

SEND = "eth_sendRawTransaction"


class Held:
    """Transactions with a tip under `least_tip` (wei per gas) wait here, known and replaceable, and are never mined.

    `taken` by geth's replacement rules; one that pays enough goes on to the node.
    """

    def __init__(self, node: Node, least_tip: int) -> None:
        self._node = node
        self._pool = Pool("geth")
        self.least_tip = least_tip
        self._last_tip = 0

    def install(self, proxy: FaultProxy) -> None:
        proxy.inject(self.send, SEND)
        proxy.inject(self.known, "eth_getTransactionByHash")

    def tip_of_last(self) -> int:
        """What the newest transaction that came here tips, wei per gas."""
        return self._last_tip

    async def send(self, asked: dict[str, Any], forward: Forward) -> Reply:
        raw = bytes.fromhex(str(asked["params"][0])[2:])
        sender = self._pool.sender_of(raw)
        base_fee = (await self._node.block()).base_fee_per_gas
        nonce = balance = 0
        if sender is not None:
            nonce, balance = await self._node.nonce(sender), await self._node.balance(sender)
        verdict = self._pool.offer(raw, base_fee, nonce, balance)
        if isinstance(verdict, Refusal):
            return error(asked, verdict.code, verdict.message)
        (kept,) = [kept for kept in self._pool.kept() if kept.tx_hash == verdict.tx_hash]
        self._last_tip = kept.fees.tip
        if kept.fees.tip < self.least_tip:
            return answer(asked, kept.tx_hash)
        return await forward()

    async def known(self, asked: dict[str, Any], forward: Forward) -> Reply:
        told = await forward()
        kept = self._pool.pending(str(asked["params"][0]))
        return answer(asked, kept) if told.get("result") is None and kept is not None else told
