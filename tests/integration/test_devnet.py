"""The local chain itself: real anvil, real bytecode, real processes."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import os
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from arbtui.abi import decode, encode_call
from arbtui.chain.node import Node
from arbtui.chain.rpc import JsonRpc, data, quantity
from arbtui.devnet import AddressBook, BookPool, Devnet, Traffic, draws, open_devnet, plan, start
from arbtui.devnet.anvil import STATES_KEPT, find_anvil
from arbtui.devnet.cache import cache_root
from arbtui.devnet.traffic import Trade
from arbtui.domain import BlockRef, Hop, HopAmount, LenderId, Opportunity, PoolKind, Token
from arbtui.domain import Path as Cycle
from arbtui.errors import DevnetError, NodeError
from arbtui.execution import encode_execute
from arbtui.units import GWEI, PPM, Address, Ppm, Wei

pytestmark = pytest.mark.chain

LAST_DEPLOYED = 307


@pytest.fixture(scope="module", autouse=True)
def folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    root = tmp_path_factory.mktemp("devnet")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ARBTUI_STATE", str(root / "state"))
        patch.setenv("ARBTUI_CACHE", str(root / "cache"))
        yield root


@pytest.fixture(scope="module")
def chain(folders: Path) -> Iterator[Devnet]:
    devnet = asyncio.run(open_devnet(seed=1))
    yield devnet
    asyncio.run(devnet.stop())


@pytest.fixture
async def rpc(chain: Devnet) -> AsyncIterator[JsonRpc]:
    """The chain as it was handed over; what a test does is undone."""
    async with JsonRpc(chain.rpc_url) as rpc:
        mark = await rpc.call("evm_snapshot")
        yield rpc
        await rpc.call("evm_setAutomine", [True])
        assert await rpc.call("evm_revert", [mark])


async def ask(rpc: JsonRpc, to: Address, signature: str, returns: list[str], *args: Any) -> Any:
    call = {"to": to, "data": "0x" + encode_call(signature, *args).hex()}
    answer = decode(returns, data(await rpc.call("eth_call", [call, "latest"]), signature), signature)
    return answer[0] if len(returns) == 1 else answer


async def price(rpc: JsonRpc, pool: BookPool) -> Fraction:
    if pool.kind == "uniswap_v2":
        reserve0, reserve1 = await ask(rpc, pool.address, "getReserves()", ["uint112", "uint112"])
        return Fraction(reserve1, reserve0)
    root = await ask(rpc, pool.address, "slot0()", ["uint160"])
    return Fraction(root * root, 2**192)


def standing(book: AddressBook) -> AddressBook:
    """The book without what belongs to one run."""
    return replace(book, rpc_url="", ws_url="", pid=0, config="")


async def fingerprint(devnet: Devnet) -> tuple[AddressBook, str, list[Fraction]]:
    async with JsonRpc(devnet.rpc_url) as rpc:
        last = await Node(rpc).block(LAST_DEPLOYED)
        return standing(devnet.book), last.hash, [await price(rpc, pool) for pool in devnet.book.pools]


# ── deployment and cache ────────────────────────────────────────────────────────────────────────────────────────


async def test_a_seed_deploys_to_the_same_chain_again(chain: Devnet) -> None:
    async with start(seed=1, use_cache=False) as again, start(seed=7, use_cache=False) as other:
        assert not again.from_cache
        assert await fingerprint(again) == await fingerprint(chain)
        book, block_hash, prices = await fingerprint(other)
    assert chain.book.transactions == LAST_DEPLOYED
    assert replace(book, seed=1) == standing(chain.book)
    assert block_hash != (await fingerprint(chain))[1]
    assert prices != (await fingerprint(chain))[2]


async def test_the_second_start_comes_from_the_cache(chain: Devnet) -> None:
    async with start(seed=1) as second:
        assert second.from_cache
        assert await fingerprint(second) == await fingerprint(chain)


def _cut(folder: Path) -> None:
    state = folder / "state.json.gz"
    state.write_bytes(state.read_bytes()[: state.stat().st_size // 2])


def _cut_book(folder: Path) -> None:
    book = folder / "book.json"
    book.write_bytes(book.read_bytes()[:500])


def _half(folder: Path) -> None:
    (folder / "state.json.gz").unlink()


def _foreign_state(folder: Path) -> None:
    """Whole by its hash, but not the chain that the book speaks of."""
    import hashlib

    state = json.loads(gzip.decompress((folder / "state.json.gz").read_bytes()))
    book = json.loads((folder / "book.json").read_bytes())
    executor = book["book"]["executor"]["address"].lower()
    del state["accounts"][executor]
    dump = gzip.compress(json.dumps(state).encode())
    (folder / "state.json.gz").write_bytes(dump)
    book["state_sha256"] = hashlib.sha256(dump).hexdigest()
    (folder / "book.json").write_text(json.dumps(book))


@pytest.mark.parametrize("damage", [_cut, _cut_book, _half, _foreign_state])
async def test_a_cache_that_does_not_fit_is_replaced(chain: Devnet, damage: Callable[[Path], None]) -> None:
    (folder,) = [item for item in cache_root().iterdir() if not item.name.startswith(".")]
    damage(folder)
    said: list[str] = []
    async with start(seed=1, notice=said.append) as mended:
        assert not mended.from_cache
        assert await fingerprint(mended) == await fingerprint(chain)
    assert len([line for line in said if line.endswith("deploying again")]) == 1
    async with start(seed=1, notice=said.append) as third:
        assert third.from_cache


async def test_the_chain_is_handed_over_in_the_present(chain: Devnet) -> None:
    async with JsonRpc(chain.rpc_url) as rpc:
        first = await Node(rpc).block(LAST_DEPLOYED + 1)
        assert abs(first.timestamp - time.time()) < 60
        assert first.base_fee_per_gas == 20 * GWEI
        assert await Node(rpc).chain_id() == 31337


async def test_interval_mining_makes_blocks_without_transactions() -> None:
    async with start(block_time=1) as devnet, JsonRpc(devnet.rpc_url) as rpc:
        before = await Node(rpc).block()
        await asyncio.sleep(1.6)
        after = await Node(rpc).block()
        assert after.number > before.number
        assert await rpc.call("anvil_getAutomine") is False


def written(folder: Path) -> int:
    """Bytes in all files below."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


async def test_a_long_life_writes_nothing_to_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Anvil by itself keeps every state under the user's home: gigabytes, and it waits for the disk meanwhile."""
    monkeypatch.setenv("HOME", str(tmp_path))
    async with start(seed=1) as devnet, JsonRpc(devnet.rpc_url) as rpc:
        await rpc.call("anvil_mine", [hex(700)])
        head = quantity(await rpc.call("eth_blockNumber"), "eth_blockNumber")
        account = devnet.book.accounts[0]
        assert await rpc.call("eth_getBalance", [account, hex(head - STATES_KEPT + 1)])
        with pytest.raises(NodeError, match="BlockOutOfRange"):
            await rpc.call("eth_getBalance", [account, hex(head - STATES_KEPT - 1)])
        assert written(tmp_path) == 0


def test_the_configuration_lies_ready(chain: Devnet) -> None:
    config = tomllib.loads(Path(chain.book.config).read_text())
    assert config["chain"]["rpc_url"] == chain.rpc_url
    assert config["wallet"]["executor"] == chain.book.executor
    assert len(config["pools"]) == len(chain.book.pools) >= 12
    assert len({pool["fee_ppm"] for pool in config["pools"]}) == 3


# ── lenders and pools ───────────────────────────────────────────────────────────────────────────────────────────


async def test_the_lenders_ask_what_they_ask_on_the_public_chain(chain: Devnet, rpc: JsonRpc) -> None:
    at, token = chain.book.lenders, chain.book.token
    assert await ask(rpc, at["aave_v3"], "FLASHLOAN_PREMIUM_TOTAL()", ["uint128"]) == 5
    assert await ask(rpc, at["aave_v2"], "FLASHLOAN_PREMIUM_TOTAL()", ["uint256"]) == 9
    collector = await ask(rpc, at["balancer_v2"], "getProtocolFeesCollector()", ["address"])
    assert await ask(rpc, collector, "getFlashLoanFeePercentage()", ["uint256"]) == 0
    dai = token("DAI").address
    assert await ask(rpc, at["maker"], "maxFlashLoan(address)", ["uint256"], dai) == 500_000_000 * 10**18
    assert await ask(rpc, at["maker"], "flashFee(address,uint256)", ["uint256"], dai, 10**18) == 0
    assert await ask(rpc, at["maker"], "maxFlashLoan(address)", ["uint256"], token("USDC").address) == 0


async def test_what_is_listed_where(chain: Devnet, rpc: JsonRpc) -> None:
    book = chain.book
    vault = book.lenders["balancer_v2"]
    lendable: dict[str, set[str]] = {}
    for token in book.tokens:
        held = await ask(rpc, token.address, "balanceOf(address)", ["uint256"], vault)
        found = {"balancer_v2"} if held else set()
        for lender, words in (("aave_v3", 8), ("aave_v2", 7)):
            reserve = await ask(
                rpc, book.lenders[lender], "getReserveData(address)", ["uint256[12]"], token.address
            )
            a_token = Address(f"0x{reserve[words]:040x}")
            if int(a_token, 16) and await ask(rpc, token.address, "balanceOf(address)", ["uint256"], a_token):
                found.add(lender)
        lendable[token.symbol] = found
    assert lendable == {
        "WETH": {"balancer_v2", "aave_v3", "aave_v2"},
        "USDC": {"balancer_v2", "aave_v3", "aave_v2"},
        "WBTC": {"aave_v2"},
        "USDT": {"aave_v2"},
        "DAI": set(),
    }
    weth = await ask(rpc, book.token("WETH").address, "balanceOf(address)", ["uint256"], vault)
    assert weth == 10 * 10**18


async def test_every_pool_stands_at_the_reference_and_is_deep(chain: Devnet, rpc: JsonRpc) -> None:
    symbols = {token.address: token.symbol for token in chain.book.tokens}
    for pool in chain.book.pools:
        first = plan.raw_price(symbols[pool.token0], symbols[pool.token1])
        assert abs(await price(rpc, pool) / first - 1) < Fraction(1, 200), pool
        if pool.kind == "uniswap_v3":
            assert await ask(rpc, pool.address, "liquidity()", ["uint128"]) > 0
            assert await ask(rpc, pool.address, "tickSpacing()", ["int24"]) == pool.tick_spacing
            assert await ask(rpc, pool.address, "fee()", ["uint24"]) == pool.fee_ppm
        assert await ask(rpc, pool.address, "token0()", ["address"]) == pool.token0.lower()
        assert await ask(rpc, pool.address, "token1()", ["address"]) == pool.token1.lower()


_LOANS = [
    ("maker", "DAI", "WETH", 20_000),
    ("balancer_v2", "USDC", "WETH", 20_000),
    ("balancer_v2", "WETH", "USDC", 8),
    ("aave_v3", "USDC", "WETH", 100_000),
    ("aave_v3", "WETH", "USDC", 40),
    ("aave_v2", "USDT", "WBTC", 20_000),
    ("aave_v2", "WBTC", "USDT", 1),
    ("aave_v2", "USDC", "WETH", 20_000),
]


async def _dislocate(chain: Devnet, rpc: JsonRpc, rich: BookPool, ppm: int) -> None:
    """Bring a pool so far above where it stands."""
    target = await price(rpc, rich) * (PPM + ppm) / PPM
    # anvil that mines by itself answers a send before the block is there.
    await rpc.call("evm_setAutomine", [False])
    await Traffic(chain.rpc_url, chain.book, 1).trade(rpc, [Trade(rich.address, target, 0, GWEI)])
    await rpc.call("evm_mine")
    await rpc.call("evm_setAutomine", [True])


def _plan(
    chain: Devnet,
    lender: str,
    asset: str,
    amount: int,
    rich: BookPool,
    cheap: BookPool,
    source: Address | None = None,
) -> bytes:
    """Sells the dear one where it is dear; the amounts of the hops are the contract's to find."""
    base = chain.book.token(asset)
    order = (rich, cheap) if base.address == rich.token0 else (cheap, rich)
    hops = []
    token_in = base.address
    for pool in order:
        token_out = pool.token1 if token_in == pool.token0 else pool.token0
        hops.append(Hop(pool.address, pool.dex, PoolKind(pool.kind), Ppm(pool.fee_ppm), token_in, token_out))
        token_in = token_out
    found = Opportunity(
        Cycle(tuple(hops)),
        Token(base.address, base.symbol, base.decimals),
        amount,
        0,
        tuple(HopAmount(hop, 0, 0, 0) for hop in hops),
        BlockRef(0, "0x", "0x", 0, Wei(0), 0, 0),
    )
    return encode_execute("0x" + "07" * 32, LenderId(lender), found, 2 * plan.floor(asset), 10**9, source)


@pytest.mark.parametrize(("lender", "asset", "other", "whole"), _LOANS)
async def test_a_loan_pays_for_a_trade(
    chain: Devnet, rpc: JsonRpc, lender: str, asset: str, other: str, whole: int
) -> None:
    book = chain.book
    rich, _, cheap, *_ = book.pools_of(asset, other)
    await _dislocate(chain, rpc, rich, 30_000)
    payload = _plan(chain, lender, asset, plan.units(asset, whole), rich, cheap)
    transaction = {
        "from": book.wallet,
        "to": book.executor,
        "data": "0x" + payload.hex(),
        "gas": hex(2_000_000),
    }
    promised = int(await rpc.call("eth_call", [transaction, "latest"]), 16)
    receipt = await rpc.call("eth_sendTransactionSync", [transaction])
    assert receipt["status"] == "0x1"
    earned = await ask(rpc, book.token(asset).address, "balanceOf(address)", ["uint256"], book.treasury)
    assert earned == promised > 0
    assert int(receipt["gasUsed"], 16) < 600_000


@pytest.mark.parametrize(
    ("lender", "source"),
    [
        ("flash_swap", None),
        ("uniswap_v2", "DAI/WETH"),
        ("uniswap_v3", "USDC/WETH"),
        ("uniswap_v3", "DAI/WETH"),
    ],
)
async def test_a_pool_lends(chain: Devnet, rpc: JsonRpc, lender: str, source: str | None) -> None:
    """A pair or pool apart from the cycle, or, without one, the cycle's own last pair."""
    book = chain.book
    rich, cheap, *_ = book.pools_of("WETH", "USDC")
    await _dislocate(chain, rpc, rich, 30_000)
    pool = None
    if source is not None:
        pool = next(p for p in book.pools_of(*source.split("/")) if p.kind == lender)
    lent = pool.address if pool is not None else None
    payload = _plan(chain, lender, "WETH", plan.units("WETH", 8), rich, cheap, lent)
    transaction = {
        "from": book.wallet,
        "to": book.executor,
        "data": "0x" + payload.hex(),
        "gas": hex(2_000_000),
    }
    promised = int(await rpc.call("eth_call", [transaction, "latest"]), 16)
    weth = book.token("WETH").address
    before = 0 if lent is None else await ask(rpc, weth, "balanceOf(address)", ["uint256"], lent)
    receipt = await rpc.call("eth_sendTransactionSync", [transaction])
    assert receipt["status"] == "0x1"
    assert await ask(rpc, weth, "balanceOf(address)", ["uint256"], book.treasury) == promised > 0
    assert await ask(rpc, weth, "balanceOf(address)", ["uint256"], book.executor) == 0
    if pool is not None:
        paid = await ask(rpc, weth, "balanceOf(address)", ["uint256"], pool.address) - before
        lent_amount = plan.units("WETH", 8)
        if lender == "uniswap_v3":
            assert paid == -(-lent_amount * pool.fee_ppm // PPM)
        else:
            assert paid == -(-lent_amount * 1000 // 997) - lent_amount


async def test_the_vault_does_not_lend_what_it_has_not(chain: Devnet, rpc: JsonRpc) -> None:
    rich, *_, cheap = chain.book.pools_of("USDC", "WETH")
    await _dislocate(chain, rpc, rich, 30_000)
    payload = _plan(chain, "balancer_v2", "USDC", plan.units("USDC", 60_001), rich, cheap)
    with pytest.raises(NodeError, match="BAL#528"):
        await rpc.call(
            "eth_call",
            [{"from": chain.book.wallet, "to": chain.book.executor, "data": "0x" + payload.hex()}, "latest"],
        )


# ── traffic ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("ppm", [-30_000, -2_000, 2_000, 30_000])
async def test_a_trader_brings_each_pool_to_its_target(chain: Devnet, rpc: JsonRpc, ppm: int) -> None:
    targets = {
        pool.address: await price(rpc, pool) * (PPM + ppm) / PPM
        for pool in chain.book.pools
        # The stable pair's range ends before.
        if pool.fee_ppm != 100
    }
    traffic = Traffic(chain.rpc_url, chain.book, 1)
    await rpc.call("evm_setAutomine", [False])
    await traffic.trade(
        rpc, [Trade(pool, target, i % 6, GWEI) for i, (pool, target) in enumerate(targets.items())]
    )
    await rpc.call("evm_mine")
    for pool in chain.book.pools:
        if pool.address in targets:
            assert abs(await price(rpc, pool) / targets[pool.address] - 1) < Fraction(1, 100_000), pool
    assert (traffic.sent, traffic.failed) == (len(targets), 0)


async def test_ticks_are_done_as_drawn(chain: Devnet, rpc: JsonRpc) -> None:
    node = Node(rpc)
    traffic = Traffic(chain.rpc_url, chain.book, 42)
    pools = {pool.address: pool for pool in chain.book.pools}
    venues = {venue.address: venue for venue in draws.venues(chain.book)}
    await rpc.call("evm_setAutomine", [False])
    mined = 0
    for number in range(30):
        tick = await traffic.step(rpc, await node.block())
        assert tick.number == number
        pending = await rpc.call("eth_getBlockByNumber", ["pending", False])
        assert int(pending["baseFeePerGas"], 16) == tick.base_fee
        await rpc.call("evm_mine")
        block = await rpc.call("eth_getBlockByNumber", ["latest", False])
        assert int(block["baseFeePerGas"], 16) == tick.base_fee
        for tx_hash in block["transactions"]:
            receipt = await node.receipt(tx_hash)
            assert receipt is not None
            assert receipt.success
            mined += 1
        for draw in tick.opens:
            wanted = next(
                w.target for w in traffic.wishes(tick) if (w.pool, w.trader) == (draw.pool, draw.opener)
            )
            assert abs(await price(rpc, pools[draw.pool]) / wanted - 1) < Fraction(1, 10_000)
        for done in tick.closes:
            if done.pool not in {draw.pool for draw in tick.opens}:
                wanted = next(w.target for w in traffic.wishes(tick) if w.pool == done.pool)
                assert abs(await price(rpc, pools[done.pool]) / wanted - 1) < Fraction(1, 10_000), venues[
                    done.pool
                ]
    assert mined == traffic.sent >= 30
    assert traffic.failed == 0


async def test_traffic_ends_with_one_line_when_the_node_is_gone() -> None:
    said: list[str] = []
    async with start(block_time=1) as devnet:
        running = asyncio.create_task(Traffic(devnet.rpc_url, devnet.book, 1, said.append).run())
        await asyncio.sleep(0.5)
        assert not running.done()
        os.kill(devnet.anvil_pid, signal.SIGKILL)
        await asyncio.wait_for(running, 10)
    assert len(said) == 1
    assert "\n" not in said[0]


# ── processes ───────────────────────────────────────────────────────────────────────────────────────────────────


def _exists(pid: int) -> bool:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return False
    return fields[0] != "Z"


def _gone(*pids: int, within: float = 10.0) -> bool:
    deadline = time.monotonic() + within
    while any(_exists(pid) for pid in pids):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def _command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "arbtui", "devnet", *arguments]


@contextlib.contextmanager
def up(*arguments: str, **environment: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    process = subprocess.Popen(
        _command("up", "--port", "0", "--json", *arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=os.environ | environment,
    )
    with process:
        try:
            assert process.stdout is not None
            yield process, json.loads(process.stdout.readline())
        finally:
            process.kill()


@pytest.mark.parametrize(("sig", "code"), [(signal.SIGINT, 0), (signal.SIGTERM, 0), (signal.SIGKILL, -9)])
def test_up_tells_where_it_is_and_leaves_nothing_behind(
    folders: Path, sig: signal.Signals, code: int
) -> None:
    with up("--block-time", "1") as (process, book):
        assert book["pid"] == process.pid
        assert book["chain_id"] == 31337
        assert AddressBook.from_json(book).to_json().items() <= book.items()
        assert tomllib.loads(Path(book["config"]).read_text())["chain"]["rpc_url"] == book["rpc_url"]
        children = [
            int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        ]
        assert children == [book["anvil_pid"]]
        process.send_signal(sig)
        assert process.wait(10) == code
        assert _gone(*children)


def test_up_ends_with_the_process_that_asked_for_it(folders: Path) -> None:
    script = (
        "import subprocess, sys, time\n"
        f"child = subprocess.Popen({_command('up', '--port', '0', '--json')!r}, stdout=subprocess.PIPE)\n"
        "sys.stdout.write(child.stdout.readline().decode()); sys.stdout.flush(); time.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"ARBTUI_DEVNET_PDEATHSIG": "1"},
    ) as parent:
        assert parent.stdout is not None
        book = json.loads(parent.stdout.readline())
        assert _exists(book["pid"])
        assert _exists(book["anvil_pid"])
        parent.kill()
        assert _gone(book["pid"], book["anvil_pid"])


def test_detached_status_and_down(folders: Path) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(_command(*arguments), capture_output=True, text=True, timeout=60, check=False)

    assert json.loads(run("status", "--json").stdout) == {"running": False}
    started = run("up", "--port", "0", "--detach", "--json", "--no-traffic")
    assert started.returncode == 0, started.stderr
    book = json.loads(started.stdout)
    try:
        status = json.loads(run("status", "--json").stdout)
        assert status == {"running": True, **book}
        second = run("up", "--port", str(book["port"]))
        assert second.returncode == 3
        assert "devnet down" in second.stderr
        assert len(second.stderr.splitlines()) == 1
        assert _exists(book["anvil_pid"])
    finally:
        ended = run("down", "--port", str(book["port"]))
    assert ended.returncode == 0, ended.stderr
    assert _gone(book["pid"], book["anvil_pid"])
    again = run("down")
    assert again.returncode == 3
    assert len(again.stderr.splitlines()) == 1


def test_up_ends_when_anvil_does(folders: Path) -> None:
    with up("--no-traffic") as (process, book):
        os.kill(book["anvil_pid"], signal.SIGKILL)
        assert process.wait(10) == 3


async def test_an_anvil_that_is_none_is_an_error_of_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    false = tmp_path / "anvil"
    false.write_text(
        '#!/bin/sh\n[ "$1" = --version ] && { echo anvil 0; exit 0; }\necho no such flag; exit 2\n'
    )
    false.chmod(0o755)
    monkeypatch.setenv("ARBTUI_ANVIL", str(false))
    assert find_anvil() == str(false)
    with pytest.raises(DevnetError, match="ended with code 2: no such flag"):
        await open_devnet()
