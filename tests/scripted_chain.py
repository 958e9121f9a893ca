"""A chain, a pool, a signer and a clock that a test scripts: what happens to every send is the test's choice."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from arbtui.abi import keccak
from arbtui.chain import Node
from arbtui.domain import BlockRef, ConversionRate, Receipt, Settlement
from arbtui.engine import Sending, WalletPolicy
from arbtui.engine.settling import SettlementTerms, Write
from arbtui.errors import MalformedAnswer, NodeError, NodeUnreachable, UnknownBlock
from arbtui.execution import SignedTx, UnsignedTx
from arbtui.execution.ports import Plan
from arbtui.execution.settlement import settle
from arbtui.store import SqliteJournal
from arbtui.units import Address, Wei
from tests import factories as make

T = TypeVar("T")
DEPTH = 4
WALLET = WalletPolicy(address=make.WALLET, executor=make.EXECUTOR, treasury=make.TREASURY)
GWEI = 10**9


class Crash(BaseException):
    """The process is gone, here and now."""


def done(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run what never really waits; no event loop."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        value: T = stop.value
        return value
    raise AssertionError("it waited for something")


class Clock:
    """Both clocks; the wall's may jump backwards."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.wall = datetime(2026, 11, 27, tzinfo=UTC)

    def monotonic(self) -> float:
        return self.now

    def utc(self) -> str:
        return self.wall.isoformat(timespec="microseconds")

    def pass_s(self, seconds: float) -> None:
        self.now += seconds
        self.wall += timedelta(seconds=seconds)


class Signer:
    """Its bytes are the transaction as JSON, so that the chain can read them."""

    address = make.WALLET

    async def sign(self, transaction: UnsignedTx, ticket_id: str) -> SignedTx:
        fields = {
            "ticket": ticket_id if transaction.data else "",
            "nonce": transaction.nonce,
            "cap": transaction.max_fee_per_gas,
            "tip": transaction.max_priority_fee_per_gas,
            "value": transaction.value,
        }
        raw = json.dumps(fields).encode()
        return SignedTx(raw, "0x" + keccak(raw).hex())


@dataclass(frozen=True, slots=True)
class Tx:
    hash: str
    ticket: str  # empty: a cancel
    nonce: int
    cap: int
    tip: int


FOREIGN = "foreign"


def read(raw: bytes) -> Tx:
    told = json.loads(raw)
    return Tx("0x" + keccak(raw).hex(), told["ticket"], told["nonce"], told["cap"], told["tip"])


@dataclass(slots=True)
class Mined:
    block: BlockRef
    txs: list[Tx] = field(default_factory=list)


class Chain:
    """Blocks, one account, one pool. `fate` says what becomes of the next sends; empty: the pool decides."""

    def __init__(self, head: int = make.HEAD) -> None:
        self.blocks = [Mined(self._block(number, "", 20 * GWEI, 0)) for number in range(head - 1, head + 1)]
        self.pool: dict[str, Tx] = {}
        self.fates: list[str] = []
        #: nonce -> tickets whose bytes may be somewhere.
        self.possible: dict[int, set[str]] = {}
        self.before_send: Callable[[bytes], None] = lambda raw: None
        self.forks = 0
        self.last_block: dict[str, int] = {}

    @staticmethod
    def _block(number: int, parent: str, base: int, fork: int) -> BlockRef:
        return BlockRef(
            number=number,
            hash=make.word("block", number, fork, parent),
            parent_hash=parent or make.word("genesis"),
            timestamp=1_790_000_000 + 12 * number,
            base_fee_per_gas=Wei(base),
            gas_used=15_000_000,
            gas_limit=30_000_000,
        )

    @property
    def head(self) -> BlockRef:
        return self.blocks[-1].block

    @property
    def nonce(self) -> int:
        return sum(len(mined.txs) for mined in self.blocks)

    def mined(self, ticket: str) -> list[Tx]:
        return [tx for mined in self.blocks for tx in mined.txs if tx.ticket == ticket]

    def mine(self, *, include: bool = True, base: int | None = None, first: Tx | None = None) -> None:
        """One block: everything of the pool whose turn it is, or `first` in its place."""
        head = self.head
        block = self._block(head.number + 1, head.hash, base or head.base_fee_per_gas, self.forks)
        mined = Mined(block)
        self.blocks.append(mined)
        if first is not None:
            self._take(mined, first)
        while include:
            nonce = self.nonce
            ready = [
                tx for tx in self.pool.values() if tx.nonce == nonce and tx.cap >= block.base_fee_per_gas
            ]
            if not ready:
                break
            self._take(mined, max(ready, key=lambda tx: tx.cap))

    def _take(self, mined: Mined, tx: Tx) -> None:
        mined.txs.append(tx)
        self.pool = {key: other for key, other in self.pool.items() if other.nonce != tx.nonce}

    def reorg(self, depth: int, *, back: bool, swap: bool) -> set[str]:
        """Undo `depth` blocks and grow one more than that; `back`: the transactions are in the pool again."""
        depth = min(depth, len(self.blocks) - 2)
        gone = [self.blocks.pop() for _ in range(depth)]
        undone = [tx for mined in reversed(gone) for tx in mined.txs]
        self.forks += 1
        for tx in undone:
            if back and tx.ticket != FOREIGN and not (swap and tx.ticket):
                self.pool[tx.hash] = tx
        for at in range(depth + 1):
            self.mine(include=back and at > 0)
        return {mined.block.hash for mined in gone}

    # ---- what a node does

    async def client_version(self) -> str:
        return "Geth/v1.16.0"

    async def knows(self, tx_hash: str) -> bool:
        return tx_hash in self.pool or any(tx.hash == tx_hash for mined in self.blocks for tx in mined.txs)

    async def block(self, number: int | str = "latest") -> BlockRef:
        for mined in reversed(self.blocks):
            if number in ("latest", mined.block.number, mined.block.hash):
                return mined.block
        raise UnknownBlock(f"no block {number}")

    async def receipt(self, tx_hash: str) -> Receipt | None:
        for mined in self.blocks:
            for at, tx in enumerate(mined.txs):
                if tx.hash == tx_hash:
                    last = self.last_block.get(tx.ticket, mined.block.number)
                    return Receipt(
                        tx_hash=tx_hash,
                        block_number=mined.block.number,
                        block_hash=mined.block.hash,
                        success=mined.block.number <= last,
                        gas_used=21_000,
                        effective_gas_price=Wei(min(tx.cap, mined.block.base_fee_per_gas + tx.tip)),
                        l1_fee=Wei(0),
                        logs=(),
                        tx_index=at,
                        sender=make.WALLET,
                    )
        return None

    async def send_raw(self, raw: bytes) -> str:
        self.before_send(raw)
        tx = read(raw)
        fate = self.fates.pop(0) if self.fates else "pool"
        if fate == "refused":
            raise NodeUnreachable("connection refused", sent=False)
        refusals = {
            "underpriced": "transaction underpriced: gas tip cap 1, minimum needed 2",
            "full": "txpool is full",
            "funds": "insufficient funds for gas * price + value: have 1 want 2",
            "gas": "intrinsic gas too low: gas 1, minimum needed 2",
        }
        if fate in refusals:
            raise NodeError(-32000, refusals[fate], method="eth_sendRawTransaction")
        self.possible.setdefault(tx.nonce, set()).add(tx.ticket)
        if fate == "lag":
            raise NodeError(
                -32000, "nonce too low: next nonce 99, tx nonce 1", method="eth_sendRawTransaction"
            )
        if fate == "odd":
            raise NodeError(-32000, "the moon is in the wrong house", method="eth_sendRawTransaction")
        if fate == "html":
            raise MalformedAnswer("not JSON", status=502)
        if fate == "lost":
            raise NodeUnreachable("no answer in 3 s")
        if fate == "swallowed":
            return tx.hash
        answer = self._pooled(tx)
        if fate == "crash":
            raise Crash
        if fate == "late":
            raise NodeUnreachable("no answer in 3 s")
        if fate == "other hash":
            return make.word("another")
        return answer

    def _pooled(self, tx: Tx) -> str:
        if tx.hash in self.pool:
            raise NodeError(-32000, "already known", method="eth_sendRawTransaction")
        if tx.nonce < self.nonce:
            raise NodeError(-32000, "nonce too low", method="eth_sendRawTransaction")
        rivals = [other for other in self.pool.values() if other.nonce == tx.nonce]
        for other in rivals:
            if tx.cap * 10 < other.cap * 11 or tx.tip * 10 < other.tip * 11:
                raise NodeError(
                    -32000, "replacement transaction underpriced", method="eth_sendRawTransaction"
                )
        for other in rivals:
            del self.pool[other.hash]
        self.pool[tx.hash] = tx
        return tx.hash


class ScriptedNode(Node):
    """`Node` whose answers come from a `Chain`; nothing of the transport is used."""

    def __init__(self, chain: Chain) -> None:
        self.chain = chain

    @property
    def where(self) -> str:
        return "a script"

    async def one(self, read: Callable[[Node], Awaitable[T]], patience_s: float | None = None) -> T:
        return await read(self)

    async def client_version(self) -> str:
        return "Geth/v1.16.0"

    async def nonce(self, address: Address, tag: str = "latest") -> int:
        return self.chain.nonce

    async def knows(self, tx_hash: str) -> bool:
        return await self.chain.knows(tx_hash)

    async def block(self, number: int | str = "latest") -> BlockRef:
        return await self.chain.block(number)

    async def receipt(self, tx_hash: str) -> Receipt | None:
        return await self.chain.receipt(tx_hash)

    async def send_raw(self, raw: bytes) -> str:
        return await self.chain.send_raw(raw)


class Settles:
    """Settlements from the receipt alone: there are no balances on a scripted chain."""

    async def settlement(
        self,
        execution_id: str,
        terms: SettlementTerms | None,
        receipt: Receipt,
        beside: Sequence[Receipt] = (),
        *,
        old: bool = False,
    ) -> Settlement:
        return settle(
            execution_id,
            receipt,
            executor=make.EXECUTOR,
            wallet=make.WALLET,
            treasury=make.TREASURY,
            asset=terms.asset if terms is not None else make.WETH.address,
            rate=ConversionRate(make.WETH, 1, 1, 0, ()),
        )

    async def why_reverted(self, receipt: Receipt, plan: Plan | None) -> str:
        return "the script says no more"

    def told(self, settlement: Settlement) -> list[Write]:
        return []


def sending_on(chain: Chain, journal: SqliteJournal, clock: Clock, **more: Any) -> Sending:
    """An engine room on a scripted chain, where an outcome is final four blocks deep."""
    return Sending(
        node=ScriptedNode(chain),
        journal=journal,
        signer=Signer(),
        clock=clock,
        chain_id=make.CHAIN_ID,
        wallet=WALLET,
        multicall=make.EXECUTOR,
        tokens={},
        native_symbol="ETH",
        max_fee_per_gas=500 * GWEI,
        block_time_s=12.0,
        depth=DEPTH,
        settler=Settles(),  # type: ignore[arg-type]
        **more,
    )


class DyingJournal(SqliteJournal):
    """Ends the process right before or right after one of its commits, when told so."""

    dies_in: int | None = None

    def _step(self) -> None:
        if self.dies_in is not None:
            self.dies_in -= 1
            if self.dies_in < 0:
                self.dies_in = None
                raise Crash


def _dying(name: str) -> Callable[..., Any]:
    plain = getattr(SqliteJournal, name)

    def method(self: DyingJournal, *args: Any) -> Any:
        self._step()
        answer = plain(self, *args)
        self._step()
        return answer

    return method


for _name in ("intend", "reserve", "outcome", "seen", "move", "release", "finish", "stop", "acknowledge"):
    setattr(DyingJournal, _name, _dying(_name))
