"""The proxy that misbehaves before a real anvil, hardhat's node beside it, and the relay that never includes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from arbtui.chain import JsonRpc, Node
from arbtui.devnet import faults
from arbtui.devnet.anvil import Anvil, find_anvil, start_anvil
from arbtui.devnet.faults import FaultProxy, fake_relay, fault_proxy
from arbtui.devnet.hardhat import hardhat_node
from arbtui.devnet.pools import Pool
from arbtui.domain import Delivery
from arbtui.errors import ArbtuiError, DevnetError, MalformedAnswer, NodeError, NodeUnreachable, RateLimited
from arbtui.execution.ports import SignedTx, UnsignedTx
from arbtui.gas import Fees, bump, rule_of
from arbtui.gas.replacement import RULES
from arbtui.recovery import Action, ErrorClass, ErrorRecoverySystem, classify, classify_send
from arbtui.signer.dev import DevSigner
from arbtui.units import ETHER, GWEI, Address, Wei

pytestmark = pytest.mark.chain

WALLET = Address("0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266")
OTHER = Address("0x70997970C51812dc3A010C7d01b50e0d17dc79C8")
SEND = "eth_sendRawTransaction"


@pytest.fixture(scope="module")
def anvil(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Anvil]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ARBTUI_STATE", str(tmp_path_factory.mktemp("state")))
        started = asyncio.run(start_anvil(find_anvil(), 0, ["--no-mining", "--base-fee", str(10 * GWEI)]))
        try:
            yield started
        finally:
            asyncio.run(started.stop())


@asynccontextmanager
async def before(anvil: Anvil) -> AsyncIterator[tuple[FaultProxy, JsonRpc, JsonRpc]]:
    """A proxy, a client on it, and one on the node itself; the chain is put back afterwards."""
    async with JsonRpc(anvil.rpc_url) as direct:
        saved = await direct.call("evm_snapshot")
        try:
            async with fault_proxy(anvil.rpc_url, seed=7) as proxy, JsonRpc(proxy.url, timeout=1.0) as rpc:
                yield proxy, rpc, direct
        finally:
            await direct.call("anvil_dropAllTransactions")
            await direct.call("evm_revert", [saved])


async def signed(nonce: int, max_fee: int, tip: int, chain_id: int = 31337, **changes: Any) -> SignedTx:
    fields: dict[str, Any] = {
        "chain_id": chain_id,
        "nonce": nonce,
        "to": OTHER,
        "value": Wei(0),
        "data": b"",
        "gas": 21_000,
        "max_fee_per_gas": Wei(max_fee),
        "max_priority_fee_per_gas": Wei(tip),
    }
    return await DevSigner(WALLET, chain_id, local=True).sign(UnsignedTx(**(fields | changes)), "")


async def send(rpc: JsonRpc, tx: SignedTx) -> Any:
    return await rpc.call(SEND, ["0x" + tx.raw.hex()])


async def refused(rpc: JsonRpc, tx: SignedTx) -> ArbtuiError:
    with pytest.raises(ArbtuiError) as caught:
        await send(rpc, tx)
    return caught.value


async def known(rpc: JsonRpc, tx: SignedTx) -> bool:
    return await rpc.call("eth_getTransactionByHash", [tx.tx_hash]) is not None


async def nonce_of(rpc: JsonRpc) -> int:
    return int(await rpc.call("eth_getTransactionCount", [WALLET, "latest"]), 16)


@pytest.mark.parametrize("client", ["geth", "besu"])
async def test_a_pool_asks_what_its_client_asks(anvil: Anvil, client: str) -> None:
    async with before(anvil) as (proxy, rpc, direct):
        proxy.pool = Pool(client)
        nonce, old = await nonce_of(direct), Fees(41 * GWEI, GWEI)
        first = await signed(nonce, old.max_fee, old.tip)
        assert await send(rpc, first) == first.tx_hash
        # anvil itself takes one wei more; geth wants 10 % on both, besu 10 % on the price paid.
        wei_more = await signed(nonce, old.max_fee + 1, old.tip + 1)
        error = await refused(rpc, wei_more)
        assert classify_send(error) == (ErrorClass.REPLACEMENT_UNDERPRICED, Delivery.REJECTED)
        assert not await known(direct, wei_more)
        assert classify(await refused(rpc, first)).error_class is ErrorClass.ALREADY_KNOWN
        small = bump(old, 10 * GWEI, by_effective=False)
        if client == "besu":
            error = await refused(rpc, await signed(nonce, small.max_fee, small.tip))
            done = ErrorRecoverySystem().handle_error(error, {"status": "submitted"})
            assert done.action is Action.BUMP
        enough = bump(old, 10 * GWEI, by_effective=client == "besu")
        second = await signed(nonce, enough.max_fee, enough.tip)
        assert await send(rpc, second) == second.tx_hash
        assert await known(direct, second)
        assert proxy.raws == [first.raw, second.raw]


async def test_a_pool_refuses_what_anvil_takes_and_loses(anvil: Anvil) -> None:
    async with before(anvil) as (proxy, rpc, direct):
        proxy.pool = Pool("geth")
        nonce = await nonce_of(direct)
        low = ErrorClass.INTRINSIC_GAS_TOO_LOW
        cases = {
            "floor": (
                await signed(nonce, 41 * GWEI, GWEI, data=b"\x01" * 500, gas=30_000),
                ErrorClass.INTRINSIC_GAS_TOO_LOW,
            ),
            "gas": (await signed(nonce, 41 * GWEI, GWEI, gas=20_999), low),
            "cap": (await signed(nonce, 41 * GWEI, GWEI, gas=16_777_217), ErrorClass.EXCEEDS_BLOCK_GAS_LIMIT),
            "fee": (await signed(nonce, 900 * GWEI, GWEI, gas=2_000_000), ErrorClass.FEE_TOO_HIGH_REJECTED),
            "funds": (
                await signed(nonce, 41 * GWEI, GWEI, value=Wei(99_999 * ETHER)),
                ErrorClass.INSUFFICIENT_FUNDS,
            ),
        }
        for name, (tx, wanted) in cases.items():
            assert classify(await refused(rpc, tx)).error_class is wanted, name
        with pytest.raises(NodeError) as caught:
            await rpc.call(SEND, ["0x1234"])
        assert classify(caught.value).error_class is ErrorClass.MALFORMED
        assert proxy.raws == []


async def test_what_falls_under_the_base_fee_waits_and_comes_back(anvil: Anvil) -> None:
    async with before(anvil) as (proxy, rpc, direct):
        proxy.pool = Pool("geth")
        nonce = await nonce_of(direct)
        tx = await signed(nonce, 5 * GWEI, GWEI)  # the base fee is 10
        assert await send(rpc, tx) == tx.tx_hash
        assert not await known(direct, tx), "anvil does not keep it"
        pending = await rpc.call("eth_getTransactionByHash", [tx.tx_hash])
        assert pending["blockNumber"] is None
        await direct.call("anvil_setNextBlockBaseFeePerGas", [hex(GWEI)])
        await direct.call("evm_mine")
        await rpc.call("eth_blockNumber")
        assert await known(direct, tx), "it was handed over again"
        await direct.call("evm_mine")
        assert await nonce_of(direct) == nonce + 1
        await rpc.call("eth_blockNumber")
        assert proxy.pool.kept() == []


@pytest.mark.parametrize(
    ("fault", "kind", "arrives"),
    [
        (faults.accept_then_drop, NodeUnreachable, True),
        (faults.drop, NodeUnreachable, False),
        (faults.html, MalformedAnswer, True),
        (faults.wrong_id, MalformedAnswer, True),
        (faults.http(503), MalformedAnswer, False),
        (faults.delay(1.5), NodeUnreachable, True),
    ],
    ids=["accept_then_drop", "drop", "html", "wrong_id", "503", "delay"],
)
async def test_nobody_can_tell_from_the_answer_whether_it_arrived(
    anvil: Anvil, fault: faults.Fault, kind: type[ArbtuiError], arrives: bool
) -> None:
    async with before(anvil) as (proxy, rpc, direct):
        proxy.inject(fault, SEND, times=1)
        tx = await signed(await nonce_of(direct), 41 * GWEI, GWEI)
        error = await refused(rpc, tx)
        assert isinstance(error, kind)
        assert classify_send(error)[1] is Delivery.AMBIGUOUS
        done = ErrorRecoverySystem().handle_error(error, {"status": "prepared", "method": SEND})
        assert (done.action, done.if_lost) == (Action.PROBE, Action.RESEND_SAME)
        for _ in range(40):
            if await known(direct, tx) is arrives:
                break
            await asyncio.sleep(0.05)
        assert await known(direct, tx) is arrives
        # The same bytes again are safe either way.
        if arrives:
            assert classify(await refused(rpc, tx)).error_class is ErrorClass.ALREADY_KNOWN
        else:
            assert await send(rpc, tx) == tx.tx_hash


async def test_answers_that_lie(anvil: Anvil) -> None:
    async with before(anvil) as (proxy, rpc, direct):
        nonce = await nonce_of(direct)
        proxy.inject(faults.null, SEND, times=1)
        proxy.inject(faults.wrong_hash, SEND, times=1)
        proxy.inject(faults.swallow, SEND, times=1)
        proxy.inject(faults.duplicate, SEND, times=1)
        txs = [await signed(nonce + n, 41 * GWEI, GWEI) for n in range(4)]
        assert await send(rpc, txs[0]) is None
        assert await send(rpc, txs[1]) == "0x" + "00" * 32
        assert await send(rpc, txs[2]) == txs[2].tx_hash
        error = await refused(rpc, txs[3])
        assert classify(error).error_class is ErrorClass.ALREADY_KNOWN
        assert [await known(direct, tx) for tx in txs] == [True, True, False, True]
        assert await send(rpc, txs[2]) == txs[2].tx_hash
        assert proxy.raws.count(txs[3].raw) == 2


async def test_a_limit_with_the_wait_it_asks_for(anvil: Anvil) -> None:
    async with before(anvil) as (proxy, rpc, _):
        rule = proxy.inject(faults.http(429, "{}", retry_after=7), "eth_blockNumber", times=2)
        for _ in range(2):
            with pytest.raises(RateLimited) as caught:
                await rpc.call("eth_blockNumber")
            found = classify(caught.value)
            assert (found.error_class, found.retry_after_s) == (ErrorClass.RATE_LIMITED, 7.0)
        await rpc.call("eth_blockNumber")
        assert rule.fired == 2


async def test_heads_and_nonces_that_lag(anvil: Anvil) -> None:
    async with before(anvil) as (proxy, rpc, direct):
        for _ in range(5):
            await direct.call("evm_mine")
        head = int(await direct.call("eth_blockNumber"), 16)
        node = Node(rpc)
        proxy.head_lag = 2
        assert (await node.block()).number == head - 2
        assert int(await rpc.call("eth_blockNumber"), 16) == head - 2
        proxy.head_lag = 4  # recedes
        assert (await node.block()).number == head - 4
        tx = await signed(await nonce_of(direct), 41 * GWEI, GWEI)
        await send(direct, tx)
        await direct.call("evm_mine")
        now = await nonce_of(direct)
        assert await nonce_of(rpc) == now - 1, "the state of an older block"
        proxy.heal()
        assert await nonce_of(rpc) == now
        proxy.inject(faults.minus(1), "eth_getTransactionCount")
        assert await nonce_of(rpc) == now - 1


async def test_silent_eviction(anvil: Anvil) -> None:
    async with before(anvil) as (proxy, rpc, direct):
        proxy.pool = Pool("geth")
        tx = await signed(await nonce_of(direct), 41 * GWEI, GWEI)
        await send(rpc, tx)
        await proxy.evict(tx.tx_hash)
        assert not await known(rpc, tx)
        await rpc.call("eth_blockNumber")
        assert not await known(direct, tx), "what was evicted is not handed over again"


async def test_chance_is_the_seeds(anvil: Anvil) -> None:
    async def failures() -> list[int]:
        async with fault_proxy(anvil.rpc_url, seed=3) as proxy, JsonRpc(proxy.url) as rpc:
            proxy.inject(faults.refuse(-32000, "header not found"), probability=0.4)
            out = []
            for at in range(30):
                try:
                    await rpc.call("eth_chainId")
                except NodeError:
                    out.append(at)
            return out

    first = await failures()
    assert 3 < len(first) < 25
    assert first == await failures()


async def test_a_websocket_that_is_cut(anvil: Anvil) -> None:
    async with (
        before(anvil) as (proxy, _, _),
        aiohttp.ClientSession() as session,
        session.ws_connect(proxy.ws_url) as socket,
    ):
        await socket.send_json({"jsonrpc": "2.0", "id": 1, "method": "eth_chainId", "params": []})
        assert (await socket.receive_json())["result"] == hex(31337)
        assert await proxy.cut_websockets() == 1
        message = await socket.receive(timeout=5)
        assert message.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.CLOSING)


async def test_the_relay_takes_everything_and_includes_nothing(anvil: Anvil) -> None:
    async with before(anvil) as (proxy, _, direct), fake_relay() as relay, JsonRpc(relay.url) as rpc:
        nonce = await nonce_of(direct)
        txs = [await signed(nonce + n, 41 * GWEI, GWEI) for n in range(3)]
        raws = ["0x" + tx.raw.hex() for tx in txs]
        assert await rpc.call("eth_sendPrivateTransaction", [{"tx": raws[0]}]) == txs[0].tx_hash
        assert "bundleHash" in await rpc.call("eth_sendBundle", [{"txs": [raws[1]], "blockNumber": "0x1"}])
        assert "bundleHash" in await rpc.call("mev_sendBundle", [{"body": [{"tx": raws[2]}]}])
        assert relay.raws == [tx.raw for tx in txs]
        await direct.call("evm_mine")
        assert await nonce_of(direct) == nonce
        assert proxy.raws == []
        assert not any([await known(direct, tx) for tx in txs])
        assert await rpc.call("eth_cancelPrivateTransaction", [{"txHash": txs[0].tx_hash}]) is True
        relay.refusal = (-32000, "invalid bundle constraints")
        with pytest.raises(NodeError) as caught:
            await rpc.call("eth_sendBundle", [{"txs": []}])
        assert classify(caught.value).error_class is ErrorClass.BUNDLE_REJECTED


async def test_faults_are_for_local_chains_alone() -> None:
    with pytest.raises(DevnetError):
        async with fault_proxy("https://rpc.example.org/v3/key"):
            pass


async def test_hardhats_own_refusals_are_understood() -> None:
    """A second real pool: its texts through our transport, its 10 % rule against our fees."""
    async with hardhat_node([WALLET]) as url, JsonRpc(url) as rpc:
        assert rule_of(await rpc.call("web3_clientVersion")) == RULES["hardhat"]
        old = Fees(30 * GWEI + 1, GWEI + 1)
        first = await signed(0, old.max_fee, old.tip)
        assert await send(rpc, first) == first.tx_hash
        floor = bump(old, GWEI, by_effective=False)
        cases = [
            (first, ErrorClass.ALREADY_KNOWN),
            (await signed(0, old.max_fee + 1, old.tip + 1), ErrorClass.REPLACEMENT_UNDERPRICED),
            # Rounded down, the bump is a wei short here.
            (await signed(0, floor.max_fee - 1, floor.tip), ErrorClass.REPLACEMENT_UNDERPRICED),
            (await signed(0, floor.max_fee, floor.tip - 1), ErrorClass.REPLACEMENT_UNDERPRICED),
            (await signed(1, 30 * GWEI, GWEI, value=Wei(99_999 * ETHER)), ErrorClass.INSUFFICIENT_FUNDS),
            (await signed(1, 30 * GWEI, GWEI, gas=31_000_000), ErrorClass.EXCEEDS_BLOCK_GAS_LIMIT),
            (await signed(1, 30 * GWEI, GWEI, gas=16_777_217), ErrorClass.EXCEEDS_BLOCK_GAS_LIMIT),
            (await signed(1, 30 * GWEI, GWEI, gas=20_000), ErrorClass.INTRINSIC_GAS_TOO_LOW),
            (await signed(1, GWEI, 2 * GWEI), ErrorClass.TIP_ABOVE_FEE_CAP),
            (await signed(1, 30 * GWEI, GWEI, chain_id=1), ErrorClass.INVALID_CHAIN_ID),
        ]
        seen = {}
        for tx, wanted in cases:
            error = await refused(rpc, tx)
            found = classify(error, method=SEND)
            seen[str(error)] = found.error_class
            assert found.error_class is wanted, (str(error), found.rule)
        second = await signed(0, floor.max_fee, floor.tip)
        assert await send(rpc, second) == second.tx_hash
        await rpc.call("evm_mine")
        assert await nonce_of(rpc) == 1
        error = await refused(rpc, await signed(0, 50 * GWEI, 2 * GWEI))
        assert classify(error).error_class is ErrorClass.NONCE_TOO_LOW
        assert await rpc.call("eth_getTransactionReceipt", [first.tx_hash]) is None
