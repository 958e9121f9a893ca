"""A node's answers as typed values. Every field of an answer is checked before it is believed."""

from __future__ import annotations

from typing import Any

from arbtui.chain.rpc import JsonRpc, data, field, hash32, quantity
from arbtui.domain import BlockRef, Log, Receipt, Simulated
from arbtui.errors import MalformedAnswer, NodeError, UsageError
from arbtui.gas import FeeSample
from arbtui.text import safe_text
from arbtui.units import Address, Wei, parse_address


class Node:
    """Typed reads and the one send, over a JsonRpc endpoint."""

    def __init__(self, rpc: JsonRpc) -> None:
        self.rpc = rpc

    @property
    def where(self) -> str:
        return self.rpc.where

    async def chain_id(self) -> int:
        return quantity(await self.rpc.call("eth_chainId"), "eth_chainId")

    async def block(self, number: int | str = "latest") -> BlockRef:
        """A block by number, hash or tag. Raises MalformedAnswer where the node has none."""
        by_hash = isinstance(number, str) and number.startswith("0x") and len(number) == 66
        method = "eth_getBlockByHash" if by_hash else "eth_getBlockByNumber"
        answer = await self.rpc.call(method, [hex(number) if isinstance(number, int) else number, False])
        return _block(answer, f"block {number}")

    async def call_at(self, target: Address, payload: bytes, block: BlockRef) -> bytes:
        """eth_call at one block hash (EIP-1898), so that a reorganisation cannot mix two blocks."""
        answer = await self.rpc.call(
            "eth_call", [{"to": target, "data": "0x" + payload.hex()}, {"blockHash": block.hash}]
        )
        return data(answer, "eth_call")

    async def code(self, address: Address) -> bytes:
        return data(await self.rpc.call("eth_getCode", [address, "latest"]), "eth_getCode")

    async def balance(self, address: Address, block: int | str = "latest") -> Wei:
        tag = hex(block) if isinstance(block, int) else block
        return Wei(quantity(await self.rpc.call("eth_getBalance", [address, tag]), "eth_getBalance"))

    async def nonce(self, address: Address, tag: str = "latest") -> int:
        answer = await self.rpc.call("eth_getTransactionCount", [address, tag])
        return quantity(answer, "eth_getTransactionCount")

    async def receipt(self, tx_hash: str) -> Receipt | None:
        """None where the node knows no receipt for this hash (yet)."""
        answer = await self.rpc.call("eth_getTransactionReceipt", [tx_hash])
        return None if answer is None else _receipt(answer, tx_hash)

    async def knows(self, tx_hash: str) -> bool:
        """Whether the node has the transaction, pending or mined."""
        return await self.rpc.call("eth_getTransactionByHash", [tx_hash]) is not None

    async def send_raw(self, raw: bytes) -> str:
        """Hand signed bytes over, once; the hash the node answers."""
        return hash32(
            await self.rpc.call("eth_sendRawTransaction", ["0x" + raw.hex()]), "eth_sendRawTransaction"
        )

    async def fee_history(self, blocks: int = 10) -> tuple[Wei, list[int], list[FeeSample]]:
        """The next block's base fee, each recent block's median tip (0 where it was empty), in wei, and the blocks."""
        answer = await self.rpc.call("eth_feeHistory", [hex(blocks), "latest", [10, 50]])
        what = "eth_feeHistory"
        base_fees = field(answer, "baseFeePerGas", what)
        rewards, ratios = answer.get("reward") or [], answer.get("gasUsedRatio") or []
        if not isinstance(base_fees, list) or not base_fees or not isinstance(rewards, list):
            raise MalformedAnswer(f"{what}: no list of base fees")
        rows = [row for row in rewards if isinstance(row, list) and row]
        tips = [quantity(row[-1], f"{what} reward") for row in rows]
        bases = [quantity(base, f"{what} baseFeePerGas") for base in base_fees]
        full = [
            ratio if isinstance(ratio, int | float) and 0 <= ratio <= 1 else 0.5
            for ratio in (ratios if isinstance(ratios, list) else [])
        ]
        samples = [
            FeeSample(base, quantity(row[0], f"{what} reward"), full[at] if at < len(full) else 0.5)
            for at, (base, row) in enumerate(zip(bases, rows, strict=False))
        ]
        return Wei(bases[-1]), tips, samples

    async def is_development_node(self) -> bool:
        """Whether the node answers anvil's own `anvil_nodeInfo`."""
        try:
            return isinstance(await self.rpc.call("anvil_nodeInfo"), dict)
        except NodeError:
            return False

    async def logs(self, block: BlockRef, addresses: list[Address]) -> tuple[Log, ...]:
        """Logs of `addresses` in one block, in order."""
        answer = await self.rpc.call("eth_getLogs", [{"blockHash": block.hash, "address": addresses}])
        if not isinstance(answer, list):
            raise MalformedAnswer("eth_getLogs: no list")
        return tuple(_log(item, "eth_getLogs") for item in answer)

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
        try:
            (result,) = answer[0]["calls"]
        except (TypeError, KeyError, IndexError, ValueError) as error:
            raise MalformedAnswer("eth_simulateV1: not one call of one block") from error
        if not isinstance(result, dict):
            raise MalformedAnswer("eth_simulateV1: a call that is no object")
        error_field = result.get("error") or {}
        raw_logs = result.get("logs") or []
        if not isinstance(error_field, dict) or not isinstance(raw_logs, list):
            raise MalformedAnswer("eth_simulateV1: an error or logs of another type")
        message = safe_text(error_field.get("message", ""), 200)
        revert = error_field.get("data")
        return Simulated(
            success=quantity(field(result, "status", "eth_simulateV1"), "eth_simulateV1 status") == 1,
            gas_used=quantity(field(result, "gasUsed", "eth_simulateV1"), "eth_simulateV1 gasUsed"),
            return_data=data(
                revert if isinstance(revert, str) else result.get("returnData", "0x"), "returnData"
            ),
            error=message,
            logs=tuple(_log(item, "eth_simulateV1", simulated=True) for item in raw_logs),
        )


def _block(answer: Any, what: str) -> BlockRef:
    if answer is None:
        raise MalformedAnswer(f"{what}: the node has no such block")
    return BlockRef(
        number=quantity(field(answer, "number", what), what),
        hash=hash32(field(answer, "hash", what), what),
        parent_hash=hash32(field(answer, "parentHash", what), what),
        timestamp=quantity(field(answer, "timestamp", what), what),
        base_fee_per_gas=Wei(quantity(answer.get("baseFeePerGas", "0x0"), what)),
        gas_used=quantity(field(answer, "gasUsed", what), what),
        gas_limit=quantity(field(answer, "gasLimit", what), what),
    )


def _log(item: Any, what: str, simulated: bool = False) -> Log:
    topics = field(item, "topics", what)
    if not isinstance(topics, list):
        raise MalformedAnswer(f"{what}: topics are no list")
    return Log(
        address=_address(field(item, "address", what), what),
        topics=tuple(hash32(topic, what) for topic in topics),
        data=data(field(item, "data", what), what),
        block_number=0 if simulated else quantity(field(item, "blockNumber", what), what),
        tx_hash="" if simulated else hash32(field(item, "transactionHash", what), what),
        log_index=0 if simulated else quantity(field(item, "logIndex", what), what),
    )


def _address(value: Any, what: str) -> Address:
    try:
        return parse_address(value, what)
    except (UsageError, TypeError) as error:
        raise MalformedAnswer(f"{what}: {safe_text(value)!r} is not an address") from error


def _receipt(item: Any, tx_hash: str) -> Receipt:
    what = f"receipt of {tx_hash}"
    if hash32(field(item, "transactionHash", what), what) != tx_hash.lower():
        raise MalformedAnswer(f"{what}: the receipt of another transaction")
    status = quantity(field(item, "status", what), what)
    if status not in (0, 1):
        raise MalformedAnswer(f"{what}: status {status}")
    logs = field(item, "logs", what)
    if not isinstance(logs, list):
        raise MalformedAnswer(f"{what}: logs are no list")
    return Receipt(
        tx_hash=tx_hash.lower(),
        block_number=quantity(field(item, "blockNumber", what), what),
        block_hash=hash32(field(item, "blockHash", what), what),
        success=status == 1,
        gas_used=quantity(field(item, "gasUsed", what), what),
        effective_gas_price=Wei(quantity(field(item, "effectiveGasPrice", what), what)),
        l1_fee=Wei(quantity(item.get("l1Fee", "0x0"), what)),
        logs=tuple(_log(log, what) for log in logs),
        tx_index=quantity(field(item, "transactionIndex", what), what),
        sender=_address(field(item, "from", what), what),
    )
