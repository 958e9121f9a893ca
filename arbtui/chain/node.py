"""A node's answers as typed values. Every field of an answer is checked before it is believed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from arbtui.chain.codec import (
    LogFilter,
    data,
    fast_logs,
    field,
    hash32,
    log,
    quantity,
    read_logs,
)
from arbtui.chain.codec import (
    address as read_address,
)
from arbtui.chain.rpc import Reply, Transport
from arbtui.domain import BlockRef, Log, Receipt, Simulated
from arbtui.errors import MalformedAnswer, NodeError, UnknownBlock
from arbtui.gas import FeeSample
from arbtui.text import safe_text
from arbtui.units import Address, Wei

T = TypeVar("T")

#: No block but a genesis is older: the first one of Ethereum (30 July 2015), in Unix seconds.
FIRST_BLOCK_TIME = 1_438_269_973
#: A block this far ahead of our clock is not believed on a public chain; geth takes 15 s, clocks differ.
MOST_AHEAD_S = 900
_BLOOM_BYTES = 256
_BLOCKS_KEPT = 128
_NO_LOG_BYTES = 256


@dataclass(frozen=True, slots=True)
class Header:
    """A block with its logs bloom, which may be empty (or wrong) on chains that keep none."""

    block: BlockRef
    bloom: bytes


@dataclass(frozen=True, slots=True)
class Agreed(Generic[T]):
    """`value` as `by` said it, of so many nodes in all, of which `least` had to. `str()` is "agreed by 2 of 3"."""

    value: T
    by: tuple[str, ...]
    of: int
    least: int = 1

    def __str__(self) -> str:
        return f"agreed by {len(self.by)} of {self.of}"


class Node:
    """Typed reads and the one send, over one connection.

    `clock` gives Unix seconds on a public chain, where a block may not be ahead of it; on a local chain the tests
    move the clock, and there is none. Raises, wherever nothing else is said: NodeError, NodeUnreachable,
    MalformedAnswer. The refused are counted in `refusals`.
    """

    def __init__(self, rpc: Transport, *, name: str = "", clock: Callable[[], float] | None = None) -> None:
        self.rpc = rpc
        self.name = name or rpc.where
        self._clock = clock
        self._blocks: dict[str, Any] = {}

    @property
    def where(self) -> str:
        return self.rpc.where

    @property
    def refusals(self) -> Mapping[tuple[str, str], int]:
        """(method, kind) -> answers that were not believed; kind is json, envelope, size or value."""
        return self.rpc.meter.refusals

    @contextmanager
    def strict(self, method: str) -> Iterator[None]:
        """Reading an answer to `method`: what is refused within is counted, and names this node."""
        try:
            yield
        except MalformedAnswer as error:
            message = f"{self.where}: {error}"
            self.rpc.meter.refused(method, "value", message)
            raise MalformedAnswer(message) from error

    # ---- one of several (see Nodes); here there is one

    async def one(self, read: Callable[[Node], Awaitable[T]], patience_s: float | None = None) -> T:  # noqa: ARG002
        """`read` with one node for all of it, so that its answers are of one view of the chain."""
        return await read(self)

    @property
    def opinions(self) -> int:
        """How many nodes can be asked of one thing."""
        return 1

    async def agreed(
        self,
        read: Callable[[Node], Awaitable[T]],
        what: str,  # noqa: ARG002
        least: int | None = None,  # noqa: ARG002
    ) -> Agreed[T]:
        """`read` as far as nodes can be asked whether they agree; `what` names it in the error."""
        return Agreed(await read(self), (self.name,), 1)

    async def elsewhere(self, node: Node, read: Callable[[Node], Awaitable[T]]) -> T | None:  # noqa: ARG002
        """`read` with another node than `node`; None where there is none, or where it has no answer."""
        return None

    # ---- the chain

    async def chain_id(self) -> int:
        answer = await self.rpc.call("eth_chainId")
        with self.strict("eth_chainId"):
            return quantity(answer, "eth_chainId")

    async def block(self, number: int | str = "latest") -> BlockRef:
        """A block by number, hash or tag. Raises UnknownBlock where the node has none."""
        return (await self.header(number)).block

    async def header(self, number: int | str = "latest") -> Header:
        """A block by number, hash or tag, with its bloom. Raises UnknownBlock where the node has none."""
        by_hash = isinstance(number, str) and number.startswith("0x") and len(number) == 66
        method = "eth_getBlockByHash" if by_hash else "eth_getBlockByNumber"
        if by_hash:
            answer = await self._by_hash(str(number).lower())
        else:
            answer = await self.rpc.call(method, [hex(number) if isinstance(number, int) else number, False])
        if answer is None:
            # Nothing to refuse: the node says that it has none.
            raise UnknownBlock(f"{self.where}: block {number}: the node has no such block")
        what = f"block {number}"
        with self.strict(method):
            found = self._header(answer, what)
            if by_hash and found.block.hash != str(number).lower():
                raise MalformedAnswer(f"{what}: the answer is block {found.block.hash}")
            if isinstance(number, int) and found.block.number != number:
                raise MalformedAnswer(f"{what}: the answer is block {found.block.number}")
        return found

    async def _by_hash(self, block_hash: str) -> Any:
        """What the node says of a block by its hash; asked once, since a hash names one block for ever."""
        answer = self._blocks.get(block_hash)
        if answer is None:
            answer = await self.rpc.call("eth_getBlockByHash", [block_hash, False])
            # What is another block, or none, is refused by who asked, and asked for again.
            if isinstance(answer, dict) and str(answer.get("hash")).lower() == block_hash:
                self._blocks[block_hash] = answer
                if len(self._blocks) > _BLOCKS_KEPT:
                    self._blocks.pop(next(iter(self._blocks)))
        return answer

    def _header(self, answer: Any, what: str) -> Header:
        block = BlockRef(
            number=quantity(field(answer, "number", what), what),
            hash=hash32(field(answer, "hash", what), what),
            parent_hash=hash32(field(answer, "parentHash", what), what),
            timestamp=quantity(field(answer, "timestamp", what), what),
            base_fee_per_gas=Wei(quantity(answer.get("baseFeePerGas", "0x0"), what)),
            gas_used=quantity(field(answer, "gasUsed", what), what),
            gas_limit=quantity(field(answer, "gasLimit", what), what),
        )
        if block.number and block.timestamp < FIRST_BLOCK_TIME:
            raise MalformedAnswer(f"{what}: timestamp {block.timestamp} is before there were blocks")
        if self._clock is not None and block.timestamp > self._clock() + MOST_AHEAD_S:
            raise MalformedAnswer(f"{what}: timestamp {block.timestamp} is ahead of this machine's clock")
        bloom = data(answer.get("logsBloom") or "0x", f"{what} logsBloom")
        return Header(block, bloom if len(bloom) == _BLOOM_BYTES else b"")

    async def call_at(self, target: Address, payload: bytes, block: BlockRef) -> bytes:
        """eth_call at one block hash (EIP-1898), so that a reorganisation cannot mix two blocks."""
        answer = await self.rpc.call(
            "eth_call", [{"to": target, "data": "0x" + payload.hex()}, {"blockHash": block.hash}]
        )
        with self.strict("eth_call"):
            return data(answer, "eth_call")

    async def code(self, address: Address) -> bytes:
        answer = await self.rpc.call("eth_getCode", [address, "latest"])
        with self.strict("eth_getCode"):
            return data(answer, "eth_getCode")

    async def balance(self, address: Address, block: int | str = "latest") -> Wei:
        tag = hex(block) if isinstance(block, int) else block
        answer = await self.rpc.call("eth_getBalance", [address, tag])
        with self.strict("eth_getBalance"):
            return Wei(quantity(answer, "eth_getBalance"))

    async def nonce(self, address: Address, tag: str = "latest") -> int:
        answer = await self.rpc.call("eth_getTransactionCount", [address, tag])
        with self.strict("eth_getTransactionCount"):
            return quantity(answer, "eth_getTransactionCount")

    async def receipt(self, tx_hash: str) -> Receipt | None:
        """None where the node knows no receipt for this hash (yet).

        A receipt is held against its block: the block must have the transaction at the place the receipt names.
        """
        method = "eth_getTransactionReceipt"
        answer = await self.rpc.call(method, [tx_hash])
        if answer is None:
            return None
        with self.strict(method):
            receipt, index = _receipt(answer, tx_hash)
        block = await self._by_hash(receipt.block_hash)
        if block is None:
            raise UnknownBlock(
                f"{self.where}: block {receipt.block_hash} of the receipt of {tx_hash} is unknown"
            )
        with self.strict(method):
            _in_block(receipt, index, block)
        return receipt

    async def knows(self, tx_hash: str) -> bool:
        """Whether the node has the transaction, pending or mined."""
        answer = await self.rpc.call("eth_getTransactionByHash", [tx_hash])
        if answer is None:
            return False
        with self.strict("eth_getTransactionByHash"):
            what = f"transaction {tx_hash}"
            if hash32(field(answer, "hash", what), what) != tx_hash.lower():
                raise MalformedAnswer(f"{what}: the answer is another transaction")
        return True

    async def send_raw(self, raw: bytes) -> str:
        """Hand signed bytes over, once; the hash the node answers."""
        answer = await self.rpc.call("eth_sendRawTransaction", ["0x" + raw.hex()])
        with self.strict("eth_sendRawTransaction"):
            return hash32(answer, "eth_sendRawTransaction")

    async def client_version(self) -> str:
        """What the node's client calls itself."""
        answer = await self.rpc.call("web3_clientVersion")
        return safe_text(str(answer), 120)

    async def fee_history(self, blocks: int = 10) -> tuple[Wei, list[int], list[FeeSample]]:
        """The next block's base fee, each recent block's median tip (0 where it was empty), in wei, and the blocks."""
        method = "eth_feeHistory"
        answer = await self.rpc.call(method, [hex(blocks), "latest", [10, 50]])
        with self.strict(method):
            base_fees = field(answer, "baseFeePerGas", method)
            rewards, ratios = answer.get("reward") or [], answer.get("gasUsedRatio") or []
            if not isinstance(base_fees, list) or not base_fees or not isinstance(rewards, list):
                raise MalformedAnswer(f"{method}: no list of base fees")
            rows = [row for row in rewards if isinstance(row, list) and row]
            tips = [quantity(row[-1], f"{method} reward") for row in rows]
            bases = [quantity(base, f"{method} baseFeePerGas") for base in base_fees]
            full = [
                ratio if isinstance(ratio, int | float) and 0 <= ratio <= 1 else 0.5
                for ratio in (ratios if isinstance(ratios, list) else [])
            ]
            samples = [
                FeeSample(base, quantity(row[0], f"{method} reward"), full[at] if at < len(full) else 0.5)
                for at, (base, row) in enumerate(zip(bases, rows, strict=False))
            ]
            return Wei(bases[-1]), tips, samples

    async def is_development_node(self) -> bool:
        """Whether the node answers anvil's own `anvil_getAutomine`.

        Not `anvil_nodeInfo`: anvil 1.7.1 locks itself up for good where that meets a block being made.
        """
        try:
            return isinstance(await self.rpc.call("anvil_getAutomine"), bool)
        except NodeError:
            return False

    # ---- logs

    async def logs(self, block: BlockRef, addresses: list[Address]) -> tuple[Log, ...]:
        """Logs of `addresses` in one block, in order."""
        asked = {"blockHash": block.hash, "address": addresses}
        return await self._logs(asked, {block.number: block.hash}, LogFilter(addresses, asked=True))

    async def logs_at(self, block: BlockRef, wanted: LogFilter) -> tuple[Log, ...]:
        """The wanted logs of one block, in order; the node is asked for the topics alone."""
        return (await self.logs_told(block, wanted))[0]

    async def logs_told(self, block: BlockRef, wanted: LogFilter) -> tuple[tuple[Log, ...], bool]:
        """As `logs_at`, and whether the node had any log of these topics at all, of whatever address."""
        asked: dict[str, Any] = {"blockHash": block.hash}
        if wanted.topics is not None:
            asked["topics"] = [sorted(wanted.topics)]
        return await self._told(asked, {block.number: block.hash}, wanted)

    async def logs_between(self, blocks: Mapping[int, str], wanted: LogFilter) -> tuple[Log, ...]:
        """The wanted logs of `blocks` (number -> hash, without a gap), in order.

        A node may say nothing of a block that it has not (yet): what has no log here is not proven to have none.
        """
        asked: dict[str, Any] = {"fromBlock": hex(min(blocks)), "toBlock": hex(max(blocks))}
        if wanted.topics is not None:
            asked["topics"] = [sorted(wanted.topics)]
        return await self._logs(asked, blocks, wanted)

    async def _logs(
        self, asked: dict[str, Any], blocks: Mapping[int, str], wanted: LogFilter
    ) -> tuple[Log, ...]:
        return (await self._told(asked, blocks, wanted))[0]

    async def _told(
        self, asked: dict[str, Any], blocks: Mapping[int, str], wanted: LogFilter
    ) -> tuple[tuple[Log, ...], bool]:
        reply: Reply = await self.rpc.ask("eth_getLogs", [asked])
        found = fast_logs(reply.raw, reply.request_id, blocks, wanted)
        if found is not None:
            # One log alone is longer than that.
            return found, bool(found) or len(reply.raw) > _NO_LOG_BYTES or bool(reply.result())
        answer = reply.result()
        with self.strict("eth_getLogs"):
            return read_logs(answer, blocks, wanted, "eth_getLogs"), bool(answer)

    # ---- simulation

    async def logs_of(self, address: Address, topic: str, first: int, last: int) -> tuple[Log, ...]:
        """Logs of one contract and event in the blocks `first` to `last`, as the node has them now, in order.

        Raises MalformedAnswer for a log that was not asked for; NodeError where the range is too wide for the node.
        """
        what = "eth_getLogs"
        asked = {"address": address, "topics": [topic], "fromBlock": hex(first), "toBlock": hex(last)}
        answer = await self.rpc.call(what, [asked])
        with self.strict(what):
            if not isinstance(answer, list):
                raise MalformedAnswer(f"{what}: no list")
            found = tuple(log(item, what) for item in answer)
            before = (-1, -1)
            for entry in found:
                place = (entry.block_number, entry.log_index)
                asked_for = entry.address == address and entry.topics[:1] == (topic,)
                if not asked_for or not first <= entry.block_number <= last:
                    raise MalformedAnswer(f"{what}: a log that was not asked for")
                if place <= before:
                    raise MalformedAnswer(f"{what}: logs out of order, or one twice")
                before = place
            return found

    async def simulate(self, transaction: dict[str, Any], block: BlockRef, seconds: int) -> Simulated:
        """`transaction` as the next block would run it, `seconds` after `block` and on top of it.

        Number and time of the next block are set: anvil would run it inside `block` itself, where pools that
        traded in it skip their oracle writes and the gas comes out too low.
        """
        next_block = {"number": hex(block.number + 1), "time": hex(block.timestamp + max(1, seconds))}
        answer = await self.rpc.call(
            "eth_simulateV1",
            [
                {
                    "blockStateCalls": [{"blockOverrides": next_block, "calls": [transaction]}],
                    "validation": False,
                },
                # Not by hash: geth takes a hash here, anvil 1.7.1 only a number.
                hex(block.number),
            ],
        )
        with self.strict("eth_simulateV1"):
            return _simulated(answer)

    async def traced(self, tx_hash: str) -> Simulated:
        """What a mined transaction did in its place, without its logs. Raises NodeError where the node does not trace.

        geth's `callTracer`, outermost call alone: `output` is the revert data, which no receipt has.
        """
        method = "debug_traceTransaction"
        tracer = {"tracer": "callTracer", "tracerConfig": {"onlyTopCall": True}}
        answer = await self.rpc.call(method, [tx_hash, tracer])
        with self.strict(method):
            what = f"trace of {tx_hash}"
            error = field(answer, "error", what) if isinstance(answer, dict) and "error" in answer else ""
            return Simulated(
                success=not error,
                gas_used=quantity(field(answer, "gasUsed", what), what),
                return_data=data(answer.get("output") or "0x", what),
                error=safe_text(str(error)[:400], 200),
                logs=(),
            )


def _simulated(answer: Any) -> Simulated:
    what = "eth_simulateV1"
    try:
        (result,) = answer[0]["calls"]
    except (TypeError, KeyError, IndexError, ValueError) as error:
        raise MalformedAnswer(f"{what}: not one call of one block") from error
    if not isinstance(result, dict):
        raise MalformedAnswer(f"{what}: a call that is no object")
    error_field = result.get("error") or {}
    raw_logs = result.get("logs") or []
    if not isinstance(error_field, dict) or not isinstance(raw_logs, list):
        raise MalformedAnswer(f"{what}: an error or logs of another type")
    revert = error_field.get("data")
    return Simulated(
        success=quantity(field(result, "status", what), f"{what} status") == 1,
        gas_used=quantity(field(result, "gasUsed", what), f"{what} gasUsed"),
        return_data=data(revert if isinstance(revert, str) else result.get("returnData", "0x"), "returnData"),
        error=safe_text(str(error_field.get("message", ""))[:400], 200),
        logs=tuple(log(item, what, simulated=True) for item in raw_logs),
    )


def _receipt(item: Any, tx_hash: str) -> tuple[Receipt, int]:
    """The receipt and the transaction's place in its block."""
    what = f"receipt of {tx_hash}"
    if hash32(field(item, "transactionHash", what), what) != tx_hash.lower():
        raise MalformedAnswer(f"{what}: the receipt of another transaction")
    status = quantity(field(item, "status", what), what)
    if status not in (0, 1):
        raise MalformedAnswer(f"{what}: status {status}")
    raw_logs = field(item, "logs", what)
    if not isinstance(raw_logs, list):
        raise MalformedAnswer(f"{what}: logs are no list")
    number = quantity(field(item, "blockNumber", what), what)
    block_hash = hash32(field(item, "blockHash", what), what)
    logs = tuple(log(entry, what) for entry in raw_logs)
    if status == 0 and logs:
        raise MalformedAnswer(f"{what}: logs of what was reverted")
    last = -1
    for entry in logs:
        if (entry.block_number, entry.block_hash, entry.tx_hash) != (number, block_hash, tx_hash.lower()):
            raise MalformedAnswer(f"{what}: a log of another block or transaction")
        if entry.log_index <= last:
            raise MalformedAnswer(f"{what}: logs out of order")
        last = entry.log_index
    index = quantity(field(item, "transactionIndex", what), what)
    receipt = Receipt(
        tx_hash=tx_hash.lower(),
        block_number=number,
        block_hash=block_hash,
        success=status == 1,
        gas_used=quantity(field(item, "gasUsed", what), what),
        effective_gas_price=Wei(quantity(field(item, "effectiveGasPrice", what), what)),
        l1_fee=Wei(quantity(item.get("l1Fee") or "0x0", what)),
        logs=logs,
        tx_index=index,
        sender=read_address(field(item, "from", what), what),
    )
    return receipt, index


def _in_block(receipt: Receipt, index: int, block: Any) -> None:
    what = f"receipt of {receipt.tx_hash}"
    number = quantity(field(block, "number", what), what)
    if (number, hash32(field(block, "hash", what), what)) != (receipt.block_number, receipt.block_hash):
        raise MalformedAnswer(f"{what}: it names another block than it is in")
    hashes = field(block, "transactions", what)
    if not isinstance(hashes, list) or index >= len(hashes):
        raise MalformedAnswer(f"{what}: its block has no transaction {index}")
    if hash32(hashes[index], what) != receipt.tx_hash:
        raise MalformedAnswer(f"{what}: its block has another transaction in its place")
    if receipt.gas_used > quantity(field(block, "gasUsed", what), what):
        raise MalformedAnswer(f"{what}: more gas than its whole block used")
