"""Where a drill plays: a local chain of its own, a proxy that misbehaves, and a real engine between them."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from arbtui.abi import encode_call
from arbtui.approval import ApproveMode
from arbtui.bootstrap import open_engine
from arbtui.chain import JsonRpc, Node
from arbtui.config import Config, load_config
from arbtui.devnet import AddressBook, Devnet, Traffic, plan, start
from arbtui.devnet.faults import Fault, FaultProxy, Forward, Reply, fault_proxy
from arbtui.devnet.traffic import Trade
from arbtui.domain import Stage
from arbtui.drills.held import SEND
from arbtui.drills.ledger import Start, start_of
from arbtui.drills.timeline import Timeline
from arbtui.drills.watch import StoreWatch
from arbtui.engine import Tally
from arbtui.errors import ArbtuiError, DevnetError, RefusedError
from arbtui.store import CommandPost
from arbtui.units import GWEI, PPM, Address

#: Seconds between the blocks of a drill's chain, between looks at the store, and of one try of the fee ladder.
BLOCK_S = 0.25
LOOK_S = 0.05
TRY_S = 1
#: Every block's, wei per gas. Anvil's own decays by an eighth a block; the least tip covers that.
BASE_FEE = 6 * GWEI
#: The pool that is moved, and how far: worth a trade that can afford every step of the ladder.
PAIR = "DAI/WETH"
OFFSET_PPM = 25_000
#: Of the profit of that trade, about 0.11 ETH, the most that anything after it could have.
LEAST_WEI = 6 * 10**16
#: Blocks that a ticket of a drill is good for.
LIFE = 12
#: The engine drains for ten.
_STOP_S = 15.0


def configuration(book: AddressBook, store: Path) -> str:
    """The chain's own configuration with quick tries, longer tickets and one base token."""
    text = book.to_toml(store)
    before, _, after = text.partition("base_tokens = [")
    text = before + 'base_tokens = ["DAI"]' + after.partition("]")[2]
    # Its fee is nothing, like the stand-in's: the drill must know whom the trade borrows from.
    before, _, after = text.partition("[lenders.balancer_v2]\n")
    text = f"{before}[lenders.balancer_v2]\nenabled = false\n{after}"
    return (
        f"{text}\n[tickets]\nauto_ttl_blocks = {LIFE}\nmanual_ttl_s = 30\n"
        # What the first trade leaves in the pool is not taken: one trade, one story.
        f"\n[validation]\nmin_net_profit_wei = {LEAST_WEI}\n"
        f'\n[gas]\nstrategy = "drill"\n\n[gas.strategies.drill]\nbuffer = "1.08"\nmax_tries = 3\ntimeout = {TRY_S}\n'
    )


@dataclass
class Scene:
    """One drill's surroundings. Blocks come every BLOCK_S while `mining` is set; `say` writes the timeline."""

    devnet: Devnet
    rpc: JsonRpc
    node: Node
    proxy: FaultProxy
    config: Config
    config_path: Path
    say: Timeline
    watch: StoreWatch
    start: Start
    mining: asyncio.Event = field(default_factory=asyncio.Event)
    #: Hashes that the drill itself sent from the wallet, and wei it put into it.
    foreign: set[str] = field(default_factory=set)
    given_wei: int = 0
    injected: list[str] = field(default_factory=list)
    #: Base fee of every block to come, wei per gas.
    base_fee: int = BASE_FEE
    #: Hash of the engine's first transaction, once it was sent.
    sent: asyncio.Event = field(default_factory=asyncio.Event)
    _block: asyncio.Lock = field(default_factory=asyncio.Lock)
    _catching: bool = False
    _then: Fault | None = None

    def __post_init__(self) -> None:
        # Before every other rule, of which the first that fires decides.
        self.proxy.inject(self._catch, SEND, times=1)

    @property
    def book(self) -> AddressBook:
        return self.devnet.book

    @property
    def wallet(self) -> Address:
        return self.config.wallet.address

    # ---- telling

    def inject(self, detail: str) -> None:
        self.injected.append(detail)
        self.say("injected", detail)

    # ---- the chain

    async def mine(self, blocks: int = 1) -> None:
        for _ in range(blocks):
            async with self._block:
                await self._one()

    async def _one(self) -> None:
        await self.rpc.call("anvil_setNextBlockBaseFeePerGas", [hex(self.base_fee)])
        await self.rpc.call("evm_mine")

    async def _mine_on(self) -> None:
        while True:
            await self.mining.wait()
            async with self._block:
                if self.mining.is_set():
                    await self._one()
            await asyncio.sleep(BLOCK_S)

    async def hold_mining(self) -> None:
        """No further block, also not one that is about to come."""
        async with self._block:
            self.mining.clear()

    async def wait_blocks(self, blocks: int) -> None:
        """Until so many more blocks are there."""
        first = (await self.node.block()).number

        async def there() -> bool:
            return (await self.node.block()).number >= first + blocks

        await self.until_async(there, 4 * blocks * BLOCK_S + 5)

    async def wait_still(self) -> None:
        """Until the engine has worked on the newest block, as its store tells."""
        head = (await self.node.block()).number
        await self.until(lambda: self.watch.block >= head, 5)

    async def dislocate(self, offset_ppm: int = OFFSET_PPM, tip: int = 3 * GWEI) -> None:
        """A trader brings one pool so far off the reference price, with the next block."""
        pool = next(p for p in self.book.pools_of(*PAIR.split("/")) if p.kind == "uniswap_v2")
        one, other = (self.book.token_at(t).symbol for t in (pool.token0, pool.token1))
        target = plan.raw_price(one, other) * Fraction(PPM + offset_ppm, PPM)
        traffic = Traffic(self.devnet.rpc_url, self.book, 1)
        await traffic.trade(self.rpc, [Trade(pool.address, target, 0, tip)])
        if traffic.failed:
            raise DevnetError("the trader of the drill could not trade")

    async def align(self) -> None:
        """Every pool at the reference price: nothing pays but what the drill opens."""
        traffic = Traffic(self.devnet.rpc_url, self.book, 1)
        for pool in self.book.pools:
            one, other = (self.book.token_at(t).symbol for t in (pool.token0, pool.token1))
            await traffic.trade(self.rpc, [Trade(pool.address, plan.raw_price(one, other), 0, GWEI)])
        await self.mine()

    async def send_as(self, sender: Address, to: Address, data: str = "0x", **fields: int) -> str:
        """A transaction of an account that the chain's node signs for; not mined yet."""
        call: dict[str, Any] = {"from": sender, "to": to, "data": data, "maxFeePerGas": hex(200 * GWEI)}
        call |= {name: hex(value) for name, value in fields.items()}
        tx_hash: str = await self.rpc.call("eth_sendTransaction", [call])
        return tx_hash

    async def as_owner(self, to: Address, signature: str, *args: Any) -> None:
        """A call by the account that deployed the protocols, in a block of its own."""
        payload = "0x" + encode_call(signature, *args).hex()
        tx_hash = await self.send_as(self.book.accounts[0], to, payload, gas=1_000_000)
        await self.mine()
        receipt = await self.node.receipt(tx_hash)
        if receipt is None or not receipt.success:
            raise DevnetError(f"{signature} was refused by the contract")

    async def set_balance(self, wei: int) -> None:
        """Put the wallet's native balance to `wei`; the audit knows of it."""
        self.given_wei += wei - await self.node.balance(self.wallet)
        await self.rpc.call("anvil_setBalance", [self.wallet, hex(wei)])

    # ---- the engine

    async def _catch(self, asked: dict[str, Any], forward: Forward) -> Reply:
        """The engine's first transaction: the chain stands still as soon as it arrives."""
        if not self._catching:
            return await forward()
        await self.hold_mining()
        reply = await (forward() if self._then is None else self._then(asked, forward))
        self.sent.set()
        return reply

    @asynccontextmanager
    async def engine(
        self, approve: ApproveMode = ApproveMode.ALL, config: Config | None = None
    ) -> AsyncIterator[asyncio.Task[Tally]]:
        """A live engine on the proxy, with blocks coming; at the end it drains and the last rows are read."""
        stop = asyncio.Event()
        running = asyncio.create_task(self._engine(config or self.config, approve, stop))
        others = [asyncio.create_task(self._mine_on()), asyncio.create_task(self._look_on())]
        self.mining.set()
        try:
            yield running
            stop.set()
            self.mining.set()
            await asyncio.wait([running], timeout=_STOP_S)
            _only_ours(running)
        finally:
            stop.set()
            running.cancel()
            for other in others:
                other.cancel()
            await asyncio.gather(running, *others, return_exceptions=True)
            self.watch.look()

    async def _engine(self, config: Config, approve: ApproveMode, stop: asyncio.Event) -> Tally:
        try:
            async with open_engine(
                config, Stage.LIVE, approve, lambda line: self.say("engine", line)
            ) as engine:
                await engine.run(None, stop)
                return engine.tally
        except ArbtuiError as error:
            self.say("engine", f"it ended: {error}")
            raise

    async def _look_on(self) -> None:
        while True:
            self.watch.look()
            await asyncio.sleep(LOOK_S)

    async def first_send(self, then: Fault | None = None, seconds: float = 12) -> bool:
        """Open the dislocation and wait until the engine has sent; the chain then stands still."""
        self._catching, self._then = True, then
        await self.dislocate()
        self.say("chain", f"a trader moves {PAIR} {OFFSET_PPM / 10_000:g} % off the other pools")
        try:
            await asyncio.wait_for(self.sent.wait(), seconds)
        except TimeoutError:
            self.say("chain", "nothing was sent")
            return False
        # Of what is told, the rows: they are committed right after the answer.
        return await self.until(lambda: bool(self.watch.attempts), 5)

    async def until(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Whether `condition` came true in time; the store is read meanwhile."""
        return await self.until_async(_always(condition), seconds)

    async def until_async(self, condition: Callable[[], Awaitable[bool]], seconds: float) -> bool:
        for _ in _looks(seconds):
            if await condition():
                return True
            await asyncio.sleep(LOOK_S)
        return await condition()

    async def post(self, kind: str, argument: dict[str, Any], seconds: float = 5) -> str:
        """A command as a desk or the command line posts it, and what the engine made of it."""
        with contextlib.closing(CommandPost(self.config.store.directory, "live")) as post:
            number = post.post(kind, argument)
            await self.until(lambda: post.result(number) is not None, seconds)
            return post.result(number) or "not taken up"


def _only_ours(running: asyncio.Task[Tally]) -> None:
    """Raise what ended an engine unless it is an error that it means to raise."""
    if running.done() and not running.cancelled():
        error = running.exception()
        if error is not None and not isinstance(error, ArbtuiError):
            raise error


def _looks(seconds: float) -> Iterator[None]:
    """As many as fit into so many seconds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        yield


def _always(condition: Callable[[], bool]) -> Callable[[], Awaitable[bool]]:
    async def ask() -> bool:
        return condition()

    return ask


@asynccontextmanager
async def opened(
    say: Timeline, folder: Path, seed: int, notice: Callable[[str], None]
) -> AsyncIterator[Scene]:
    """A scene with its chain in hand and nothing that pays on it; all of it is ended with the block."""
    async with (
        start(seed=seed, notice=notice) as devnet,
        JsonRpc(devnet.rpc_url) as rpc,
        fault_proxy(devnet.rpc_url, seed) as proxy,
    ):
        # The deployment may have taken a while; what is rehearsed begins here.
        say.began = time.monotonic()
        await rpc.call("evm_setAutomine", [False])
        book = devnet.book.at(proxy.url, devnet.book.pid, folder / "arbtui.toml")
        path = folder / "arbtui.toml"
        path.write_text(configuration(book, folder / "store"), "utf-8")
        config = load_config(str(path))
        if config.chain.node_urls() != (proxy.url,) or config.store.directory != folder / "store":
            raise RefusedError(
                "a variable ARBTUI_CHAIN__… or ARBTUI_STORE__… changes the drill's own chain or store; unset it"
            )
        node = Node(rpc)
        watch = StoreWatch(config.store.directory, say)
        scene = Scene(
            devnet, rpc, node, proxy, config, path, say, watch, await start_of(node, config.wallet.address)
        )
        try:
            await scene.align()
            say("chain", f"a local chain of its own, port {devnet.port}; a block every {BLOCK_S:g} s")
            yield scene
        finally:
            watch.close()
