"""A running local chain: started from the cache or deployed, verified, set to the wall clock, ended."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from arbtui.abi import encode_call
from arbtui.chain.node import Node
from arbtui.chain.rpc import JsonRpc, data
from arbtui.devnet import cache
from arbtui.devnet.anvil import Anvil, anvil_version, find_anvil, require_free, start_anvil
from arbtui.devnet.artifacts import Artifacts
from arbtui.devnet.book import AddressBook
from arbtui.devnet.cache import Snapshot
from arbtui.devnet.deploy import deploy
from arbtui.devnet.plan import DEFAULT_SEED
from arbtui.errors import ArbtuiError, DevnetError
from arbtui.units import GWEI

#: Where the base fee is set when the chain is handed over, and where traffic's walk begins.
FIRST_BASE_FEE = 20 * GWEI

Notice = Callable[[str], None]


def _quiet(_: str) -> None:
    pass


class Devnet:
    """A local chain that is up. `from_cache` says which way it came."""

    def __init__(self, anvil: Anvil, book: AddressBook, from_cache: bool, seconds: float) -> None:
        self._anvil = anvil
        self.book = book
        self.from_cache = from_cache
        #: Seconds from the call to the chain being ready.
        self.seconds = seconds

    @property
    def rpc_url(self) -> str:
        return self._anvil.rpc_url

    @property
    def port(self) -> int:
        return self._anvil.port

    @property
    def anvil_pid(self) -> int:
        return self._anvil.pid

    @property
    def directory(self) -> Path:
        """Folder of this chain: `arbtui.toml`, `anvil.log`, `store/`."""
        return self._anvil.directory

    def running(self) -> bool:
        return self._anvil.running()

    async def stop(self) -> None:
        """End anvil. Its folder goes too, unless a store is in it or anvil had ended by itself."""
        ended_by_itself = not self._anvil.running()
        await self._anvil.stop()
        if not ended_by_itself and not (self.directory / "store").exists():
            shutil.rmtree(self.directory, ignore_errors=True)


@asynccontextmanager
async def start(
    port: int = 0,
    *,
    seed: int = DEFAULT_SEED,
    block_time: int = 0,
    use_cache: bool = True,
    notice: Notice = _quiet,
) -> AsyncIterator[Devnet]:
    """A local chain for the length of the block: `async with start() as devnet`.

    `port` 0 takes any free one. `block_time` in seconds between blocks; 0 mines a block for each transaction.
    To be called from the main thread, with which anvil ends. Raises DevnetError.
    """
    devnet = await open_devnet(port, seed=seed, block_time=block_time, use_cache=use_cache, notice=notice)
    try:
        yield devnet
    finally:
        await devnet.stop()


async def open_devnet(
    port: int = 0,
    *,
    seed: int = DEFAULT_SEED,
    block_time: int = 0,
    use_cache: bool = True,
    notice: Notice = _quiet,
) -> Devnet:
    """As `start`, for a caller that ends the chain itself with `Devnet.stop`."""
    begun = time.monotonic()
    if port:
        require_free(port)
    binary = find_anvil()
    artifacts = Artifacts()
    key = cache.cache_key(artifacts.digest, anvil_version(binary), seed)
    anvil, book = None, None
    if use_cache:
        found = cache.load(key)
        if isinstance(found, Snapshot):
            anvil = await _restore(binary, port, found)
            book = found.book
            if anvil is None:
                found = f"{cache.cache_root() / key}: the cached state does not load as it was stored"
        if isinstance(found, str) and found:
            notice(f"{found}; deploying again")
    from_cache = anvil is not None
    if anvil is None or book is None:
        anvil, book = await _deploy_fresh(binary, port, artifacts, seed, key if use_cache else "", notice)
    try:
        async with JsonRpc(anvil.rpc_url) as rpc:
            await _to_the_present(rpc)
            await _set_mining(rpc, block_time)
        book = _settle_in(anvil, book, block_time)
    except BaseException:
        await anvil.stop()
        raise
    return Devnet(anvil, book, from_cache, time.monotonic() - begun)


async def _restore(binary: str, port: int, snapshot: Snapshot) -> Anvil | None:
    """Anvil with the cached state, or None where that state is not what was stored."""
    root = cache.cache_root()
    unpacked = root / f".load-{os.getpid()}-{snapshot.block_hash[2:10]}.json"
    anvil = None
    try:
        if not cache.unpack(snapshot, unpacked):
            return None
        anvil = await start_anvil(binary, port, ("--load-state", str(unpacked)))
        async with JsonRpc(anvil.rpc_url) as rpc:
            if await _matches(rpc, snapshot):
                return anvil
    except ArbtuiError:
        # Whatever the reason, deploying afresh tells more, or mends it.
        pass
    finally:
        unpacked.unlink(missing_ok=True)
    if anvil is not None:
        await anvil.stop()
    return None


async def _matches(rpc: JsonRpc, snapshot: Snapshot) -> bool:
    node = Node(rpc)
    head = await node.block()
    if (head.number, head.hash) != (snapshot.block_number, snapshot.block_hash):
        return False
    book = snapshot.book
    for address in (book.executor, book.multicall, book.trader, *book.lenders.values()):
        if not await node.code(address):
            return False
    pair = next(pool for pool in book.pools if pool.kind == "uniswap_v2")
    call = {"to": pair.address, "data": "0x" + encode_call("getReserves()").hex()}
    reserves = data(await rpc.call("eth_call", [call, "latest"]), "getReserves()")
    return any(reserves[:32]) and any(reserves[32:64])


async def _deploy_fresh(
    binary: str, port: int, artifacts: Artifacts, seed: int, key: str, notice: Notice
) -> tuple[Anvil, AddressBook]:
    anvil = await start_anvil(binary, port)
    try:
        async with JsonRpc(anvil.rpc_url, timeout=60.0, max_bytes=64 * 2**20) as rpc:
            book = await deploy(rpc, artifacts, seed, lambda what: notice(f"deploying {what}"))
            if key:
                head = await Node(rpc).block()
                dump = data(await rpc.call("anvil_dumpState"), "anvil_dumpState")
                problem = cache.save(key, Snapshot(book, head.number, head.hash, dump))
                if problem:
                    notice(problem)
    except BaseException:
        await anvil.stop()
        raise
    return anvil, book


async def _to_the_present(rpc: JsonRpc) -> None:
    """One empty block at the wall clock's time and at the first base fee."""
    head = await Node(rpc).block()
    await rpc.call("anvil_setTime", [max(int(time.time()), head.timestamp + 1)])
    await rpc.call("anvil_setNextBlockBaseFeePerGas", [hex(FIRST_BASE_FEE)])
    await rpc.call("evm_mine")


async def _set_mining(rpc: JsonRpc, block_time: int) -> None:
    if block_time:
        await rpc.call("evm_setAutomine", [False])
        await rpc.call("evm_setIntervalMining", [block_time])


def _settle_in(anvil: Anvil, book: AddressBook, block_time: int) -> AddressBook:
    """Write the configuration into the chain's folder."""
    config, store = anvil.directory / "arbtui.toml", anvil.directory / "store"
    settled = book.at(anvil.rpc_url, os.getpid(), config)
    try:
        if store.exists():
            # Of a chain that is gone: its journal must not meet this one. Kept for one more start.
            shutil.rmtree(store.with_suffix(".previous"), ignore_errors=True)
            store.rename(store.with_suffix(".previous"))
        fresh = config.with_suffix(".toml.new")
        fresh.write_text(settled.to_toml(store, block_time), "utf-8")
        fresh.replace(config)
    except OSError as error:
        raise DevnetError(f"{config}: cannot be written ({error.strerror}); set ARBTUI_STATE") from error
    return settled
