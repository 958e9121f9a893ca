"""Follows the balances of executor, wallet and treasury from final block to final block, beside the settlements."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from arbtui.chain import Node, read_balances
from arbtui.domain import NATIVE, BlockRef, Delta, Token
from arbtui.engine.policy import ReconciliationPolicy, WalletPolicy
from arbtui.errors import NodeError
from arbtui.execution.settlement import Holdings
from arbtui.monitor.reconcile import amounts_json, amounts_of, describe, may_send, unexplained
from arbtui.store import Batch, Store
from arbtui.text import safe_text
from arbtui.units import Address, parse_address

_log = logging.getLogger(__name__)
Write = Callable[[Batch], None]


class Reconciler:
    """Its memory is the store: a restart goes on where the last run stopped, and finds what happened in between."""

    def __init__(
        self,
        *,
        node: Node,
        store: Store,
        wallet: WalletPolicy,
        policy: ReconciliationPolicy,
        multicall: Address,
        tokens: Mapping[Address, Token],
        watched: tuple[Address, ...],
        native_symbol: str,
        say: Callable[[str], None],
    ) -> None:
        self._node = node
        self._store = store
        self._policy = policy
        self._multicall = multicall
        self._tokens = {**tokens, NATIVE: Token(NATIVE, native_symbol, 18)}
        self._watched = set(watched) - {NATIVE}
        self._say = say
        # One address may have several parts to play; it is named by the first.
        self._roles = {
            wallet.treasury: "treasury",
            wallet.address: "wallet",
            wallet.executor: "executor",
        }

    @property
    def may_send(self) -> bool:
        """False while a difference is open."""
        return may_send(self._store.open_differences())

    async def follow(self, head: BlockRef) -> list[Write]:
        """Compare through the newest final block; what the store has to be told. Raises what the node raises."""
        number = head.number - self._policy.depth_blocks
        last = self._store.reconciled_through()
        if number < 0 or (last is not None and number <= last[0]):
            return []
        block = await self._node.block(number)
        if last is None or not await self._continues(block, last):
            try:
                after = await self._read(self._watched, block)
            except NodeError as error:
                # Any final block will do for a beginning: the first one whose state this node has.
                _log.info("balances of block %d are not to be had: %s", number, error)
                return []
            begun: list[Write] = [lambda b: b.reconciled(block, block, after, self._roles, self._tokens)]
            if last is not None:
                gone = f"block {last[0]} was reorganised away: balances are followed anew from {number}"
                self._say(gone)
                begun.append(lambda b: b.incident("reorg", gone, block=number))
            return begun
        start = await self._node.block(last[0])
        told = self._deltas(last[0], number)
        before = self._holdings()
        tokens = self._watched | {token for _, token in before} | {delta.token for delta in told}
        new = tokens - {token for _, token in before} - {NATIVE}
        lacking: set[Address] = set()
        if new:
            try:
                before = {**await self._read(new, start), **before}
            except NodeError as error:
                # Followed from this block on, as every token is from the first block on.
                _log.info("balances of block %d are not to be had: %s", start.number, error)
                lacking = new
        after = await self._read(tokens - {NATIVE}, block)
        wrong = tuple(delta for delta in unexplained(before, after, told) if delta.token not in lacking)
        count = self._store.settlements_between(last[0], number)
        accepted = bool(wrong) and not self._policy.stop_on_gain and all(delta.amount > 0 for delta in wrong)
        text = describe(wrong, self._roles, self._tokens)
        writes: list[Write] = [
            lambda b: b.reconciled(
                start,
                block,
                after,
                self._roles,
                self._tokens,
                settlements=count,
                amounts=amounts_json(wrong),
                difference=text,
                accepted="a gain, and reconciliation.stop_on_gain is off" if accepted else "",
            )
        ]
        if lacking:
            names = ", ".join(
                sorted(self._tokens[token].symbol if token in self._tokens else token for token in lacking)
            )
            detail = f"{names}: no balances at block {start.number} any more; compared from block {number} on"
            writes.append(lambda b: b.incident("node", detail, block=number))
        if wrong:
            writes.append(lambda b: b.incident("unreconciled", text, block=number))
            stop = "" if accepted else "; sending is stopped: `arbtui acknowledge`"
            self._say(f"blocks {start.number + 1} to {number}: {text}{stop}")
        return writes

    def acknowledge(self, argument: Mapping[str, object]) -> tuple[str, list[Write]]:
        """A person's word on an open difference: it fits from now on."""
        number, reason = argument.get("id"), safe_text(argument.get("reason", ""), 200).strip()
        by = safe_text(argument.get("by", "command line"), 64)
        if not isinstance(number, int) or isinstance(number, bool):
            return "refused: which difference? it wants a number", []
        if not reason:
            return "refused: a reason is wanted; it is kept", []
        if not self._store.is_open(number):
            return f"gone: no difference {number} is open", []
        return f"acknowledged: {number}", [lambda b: b.acknowledged(number, by, reason)]

    async def _continues(self, block: BlockRef, last: tuple[int, str]) -> bool:
        """Whether the block that was compared last is still on the chain; if not, it begins anew from this one."""
        adjoins = block.number == last[0] + 1
        known = block.parent_hash if adjoins else (await self._node.block(last[0])).hash
        return known == last[1]

    def _deltas(self, first: int, last: int) -> tuple[Delta, ...]:
        told = [
            Delta(parse_address(account), parse_address(token), int(amount))
            for account, token, amount in self._store.deltas_between(first, last)
        ]
        for text in self._store.differences_between(first, last):
            told += amounts_of(text)
        return tuple(told)

    def _holdings(self) -> Holdings:
        return {
            (parse_address(account), parse_address(token)): int(amount)
            for account, token, amount in self._store.holdings()
        }

    async def _read(self, tokens: set[Address], block: BlockRef) -> Holdings:
        accounts = tuple(self._roles)
        return await read_balances(self._node, accounts, sorted(tokens), block, self._multicall)
