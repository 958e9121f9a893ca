"""The only place where parts are put together."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import TypeVar

from arbtui import __version__
from arbtui.abi import decode_address, encode_call
from arbtui.approval import ApproveMode, require_stage
from arbtui.chain import (
    HeadFeed,
    LogFilter,
    Node,
    Nodes,
    NodeState,
    aggregate,
    is_local_chain,
    open_nodes,
    read_pools,
)
from arbtui.chain.reader import Progress, read
from arbtui.chain.relays import Relay, open_relay
from arbtui.chain.stream import StreamRpc
from arbtui.config import Config, PoolEntry
from arbtui.discovering import NOTHING_KNOWN, Known, discover, known, progress_lines, summary
from arbtui.domain import BlockRef, Call, CallResult, ConversionRate, LoanQuote, PoolKind, Stage, Token
from arbtui.engine import Decider, Engine, Sending, SettlementTerms, SystemClock, Watching
from arbtui.engine.deciding import read_fees
from arbtui.engine.reconciling import Reconciler
from arbtui.errors import ArbtuiError, MalformedAnswer, StoreError, WrongChain
from arbtui.execution import Signer
from arbtui.execution.deployed import strange_code
from arbtui.lenders import FlashLoanManager, GasView, build_lenders, cheapest
from arbtui.market import LOG_TOPICS, SWAP_TOPICS
from arbtui.market.pool import Pool
from arbtui.market.state import MarketState
from arbtui.market.uniswap_v2 import UniswapV2Pool
from arbtui.market.uniswap_v3 import UniswapV3Pool
from arbtui.monitor import LenderRecord, StrategyRecord, lender_record, strategy_record
from arbtui.search import Finder
from arbtui.store import (
    RunInfo,
    SqliteJournal,
    Store,
    StoreLock,
    StoreReader,
    WalletLock,
    library_version,
    open_store,
)
from arbtui.store.database import family_of
from arbtui.store.upkeep import Retention
from arbtui.text import redact
from arbtui.units import Address, Ppm, parse_address
from arbtui.validation import OpportunityValidator

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing `doctor` looked at."""

    check: str
    ok: bool
    detail: str


class Desk:
    """A configuration with its nodes: the reading side of every command."""

    def __init__(self, config: Config, node: Nodes, found: Known = NOTHING_KNOWN) -> None:
        self.config = config
        self.node = node
        #: Pools that the last `market` left out, with the reason.
        self.failed: dict[Address, str] = {}
        self.tokens: dict[Address, Token] = {}
        self.pools: dict[Address, Pool] = {}
        self.take(found)
        self.wrapped_native = self.tokens[config.chain.wrapped_native]
        self.manager = FlashLoanManager(
            build_lenders(
                config.lenders, config.wallet.executor, self.pools_of, lambda address: self.pools.get(address)
            ),
            self.read,
            self._now,
            off=config.lenders.off(),
            executor=config.wallet.executor,
        )

    def take(self, found: Known) -> None:
        """Trade these discovered pools besides the configured ones."""
        self.tokens = {**found.tokens, **self.config.token_map()}
        self.pools = {**found.pools, **{entry.address: unread_pool(entry) for entry in self.config.pools}}

    def pools_of(self, token: Address) -> list[Pool]:
        """The known pools that hold `token`."""
        return [pool for pool in self.pools.values() if token in (pool.token0, pool.token1)]

    async def read(self, calls: Sequence[Call], block: BlockRef) -> list[CallResult]:
        return await read(self.node, calls, block, self.config.chain.multicall)

    async def market(
        self,
        block: BlockRef | None = None,
        holding: Collection[Address] = (),
        progress: Progress | None = None,
    ) -> MarketState:
        """The pools at `block`, the newest one by default; with `holding` those alone that hold one of these tokens.

        A configured pool that does not answer raises MalformedAnswer; a discovered one is left out, see `failed`.
        """
        block = block or await self.node.block()
        wanted = {
            address: pool
            for address, pool in self.pools.items()
            if not holding or pool.token0 in holding or pool.token1 in holding
        }
        found = await read_pools(self.node, wanted, block, self.config.chain.multicall, progress=progress)
        self.failed = found.failed
        for entry in self.config.pools:
            if entry.address in found.failed:
                raise MalformedAnswer(found.failed[entry.address])
        return MarketState(block, self.tokens, found.pools)

    async def quotes(
        self, amount: int, token: Token
    ) -> tuple[BlockRef, tuple[LoanQuote, ...], LoanQuote | None]:
        """Every lender's quote at the newest block, and the cheapest."""
        block, gas = await self._now(token)
        found = await self.manager.quote_all(amount, token, block, gas)
        return block, found, cheapest(found)

    async def _now(self, token: Token) -> tuple[BlockRef, GasView]:
        # A conversion goes over at most two pools, so that each of them holds one of the two.
        state = await self.market(holding=(token.address, self.wrapped_native.address))
        fees = await read_fees(self.node, self.config.gas)
        rate = state.conversion(token, self.wrapped_native)
        record = known_lenders(self.config)
        return state.block, GasView(fees.price, rate, record.overheads(), record.tracks())

    async def local(self) -> bool:
        """Whether money cannot be at stake: the configuration says so, and every node and chain id agree."""
        chain = self.config.chain
        if not chain.local:
            return False
        urls = [*chain.node_urls(), *([chain.push_url.get_secret_value()] if chain.push_url else [])]
        return await is_local_chain(self.node, urls, chain.chain_id)

    async def require_chain(self) -> None:
        """Raise WrongChain unless the node is of the configured chain."""
        seen = await self.node.chain_id()
        if seen != self.config.chain.chain_id:
            raise WrongChain(
                f"{self.node.where} is chain {seen}, but chain.chain_id says {self.config.chain.chain_id}; "
                "correct chain.rpc_url or chain.chain_id"
            )

    async def examine(self) -> list[Finding]:
        """Code behind every configured address, the executor's roles, gas money. Needs the right chain."""
        config = self.config
        wanted: list[tuple[str, Address]] = [
            ("chain.multicall", config.chain.multicall),
            ("wallet.executor", config.wallet.executor),
        ]
        wanted += list(config.lenders.places().items())
        if known := config.chain.preset and config.known_chain():
            wanted += [(f"factories {dex.name} {dex.kind}", dex.factory) for dex in known.dexes]
        wanted += [(f"tokens {entry.symbol}", entry.address) for entry in config.tokens]
        wanted += [(f"pools {entry.dex} {self._pair(entry)}", entry.address) for entry in config.pools]
        wanted += [
            (f"discovery.factories {factory.dex} {factory.kind}", factory.address)
            for factory in config.discovery.factories
        ]
        findings = []
        for name, address in wanted:
            code = await self.node.code(address)
            detail = (
                f"{address}: {len(code)} bytes of code" if code else f"{address}: nothing is deployed there"
            )
            findings.append(Finding(name, bool(code), detail))
            if code and address == config.wallet.executor and (strange := strange_code(code)):
                findings[-1] = Finding(name, False, f"{address} {strange}; deploy it")
        if all(finding.ok for finding in findings):
            findings += await self._roles()
            strangers = await self.manager.strangers(self.wrapped_native, await self.node.block())
            findings += [Finding(f"lenders.{who}", False, terms.detail) for who, terms in strangers.items()]
        balance = await self.node.balance(config.wallet.address)
        findings.append(
            Finding("gas money", balance > 0, f"{config.wallet.address} holds {balance} wei for gas")
        )
        return findings

    def _pair(self, entry: PoolEntry) -> str:
        return f"{self.tokens[entry.token0].symbol}/{self.tokens[entry.token1].symbol} {entry.fee_ppm} ppm"

    async def _roles(self) -> list[Finding]:
        wallet = self.config.wallet
        calls = [
            Call(wallet.executor, encode_call("operator()"), "Executor.operator"),
            Call(wallet.executor, encode_call("treasury()"), "Executor.treasury"),
        ]
        block = await self.node.block()
        answers = await aggregate(self.node, calls, block, self.config.chain.multicall)
        findings = []
        for call, answer, key in zip(calls, answers, ("address", "treasury"), strict=True):
            meant: Address = getattr(wallet, key)
            if not answer.success or len(answer.data) != 32:
                findings.append(Finding(call.what, False, f"{wallet.executor} is not the executor contract"))
                continue
            seen = decode_address(answer.data, call.what)
            detail = f"is {seen}" if seen == meant else f"is {seen}, but wallet.{key} says {meant}"
            findings.append(Finding(call.what, seen == meant, detail))
        return findings


def known_lenders(config: Config) -> LenderRecord:
    """What the store's receipts say of the lenders."""
    chain_id, executor = config.chain.chain_id, config.wallet.executor
    return _told(config, lambda reader: lender_record(reader, chain_id, executor), LenderRecord())


def known_strategies(config: Config) -> StrategyRecord:
    """As `known_lenders`, of the gas strategies."""
    chain_id, wallet = config.chain.chain_id, config.wallet.address
    return _told(config, lambda reader: strategy_record(reader, chain_id, wallet), StrategyRecord())


def _told(config: Config, read: Callable[[StoreReader], T], otherwise: T) -> T:
    """What the store says; `otherwise` where there is no store, or one that cannot be read."""
    try:
        with open_store(config.store.directory) as reader:
            return read(reader)
    except StoreError:
        return otherwise


def unread_pool(entry: PoolEntry) -> Pool:
    """A configured pool before its state was read; of a V3 pool the ticks around its price are read."""
    fee = Ppm(entry.fee_ppm)
    if entry.kind is PoolKind.UNISWAP_V3:
        return UniswapV3Pool.unread(
            entry.address, entry.dex, entry.token0, entry.token1, fee, entry.tick_spacing or 1
        )
    return UniswapV2Pool(entry.address, entry.dex, entry.token0, entry.token1, fee, 0, 0)


@asynccontextmanager
async def open_desk(config: Config) -> AsyncIterator[Desk]:
    """A connected Desk on the right chain. Raises NodeUnreachable and WrongChain."""
    async with open_nodes(config.chain) as nodes:
        desk = Desk(config, nodes)
        await desk.require_chain()
        if config.discovery.factories:
            desk.take(known(config, (await desk.node.block(0)).hash))
        yield desk


def _sqlite() -> str:
    version = library_version()
    text = f"library {version}"
    if tuple(int(part) for part in version.split(".")) < (3, 51, 3):
        text += (
            "; before 3.51.3 two connections that race a WAL reset can lose a commit: "
            "the journal has a single connection of its own"
        )
    return text


async def diagnose(config: Config) -> list[Finding]:
    """Everything `doctor` tells; never raises for what it is there to find."""
    findings = [
        Finding("configuration", True, f"chain {config.chain.name} ({config.chain.chain_id})"),
        Finding("sqlite", True, _sqlite()),
    ]
    try:
        async with open_nodes(config.chain) as nodes:
            if len(nodes) > 1:
                # First, so that they are told where none of them can be used, too.
                await nodes.look()
                findings += [
                    Finding(health.name, health.state is NodeState.OK, redact(str(health)))
                    for health in nodes.health()
                ]
            desk = Desk(config, nodes)
            await desk.require_chain()
            block = await nodes.block()
            findings.append(Finding("node", True, f"{nodes.where} at block {block.number}"))
            if nodes.push is not None:
                findings.append(await _ringing(nodes.push, config.chain.chain_id))
            findings += await desk.examine()
            kind = "a local chain" if await desk.local() else "not a local chain: --stage live is refused"
            findings.append(Finding("stage", True, kind))
    except ArbtuiError as error:
        findings.append(Finding("node", False, redact(str(error))))
    directory = config.store.directory
    if config.discovery.factories:
        try:
            findings.append(Finding("discovery", True, summary(config)))
        except ArbtuiError as error:
            findings.append(Finding("discovery", False, redact(str(error))))
    if not directory.exists():
        findings.append(Finding("store", True, f"{directory} is not there yet; the first run makes it"))
        return findings
    try:
        with StoreLock(directory):
            findings.append(Finding("store", True, f"{directory} is free for an engine"))
    except ArbtuiError as error:
        findings.append(Finding("store", False, redact(str(error))))
    return findings


async def _ringing(push: StreamRpc, chain_id: int) -> Finding:
    """Whether the connection of chain.push_url takes a subscription to heads of the right chain."""
    try:
        seen = await Node(push).chain_id()
        if seen != chain_id:
            return Finding("push", False, f"{push.where} is chain {seen}; correct chain.push_url")
        await push.subscribe("newHeads")
    except ArbtuiError as error:
        return Finding("push", False, redact(str(error)))
    return Finding("push", True, f"{push.where} rings for new heads")


@asynccontextmanager
async def open_engine(
    config: Config,
    stage: Stage,
    approve: ApproveMode,
    say: Callable[[str], None],
    seed: int | None = None,
    *,
    journal_type: type[SqliteJournal] = SqliteJournal,
) -> AsyncIterator[Engine]:
    """An engine that holds the locks of its store and wallet; it runs inside the context.

    Raises RefusedError, WrongChain, NodeUnreachable, StoreError or LockHeld before anything is written.
    """
    require_stage(stage, approve, local=True)
    async with open_desk(config) as desk:
        local = await desk.local()
        require_stage(stage, approve, local=local)
        bad = [finding for finding in await desk.examine() if not finding.ok]
        if bad:
            raise WrongChain(
                "; ".join(f"{finding.check}: {finding.detail}" for finding in bad)
                + "; correct the configuration (`arbtui doctor` shows all)"
            )
        genesis = (await desk.node.block(0)).hash
        with ExitStack() as stack:
            stack.enter_context(StoreLock(config.store.directory))
            # Two local chains may share id, genesis and keys; their nodes tell them apart.
            scope = hashlib.sha256(desk.node.where.encode()).hexdigest()[:12] if local else genesis[2:14]
            stack.enter_context(WalletLock(config.chain.chain_id, config.wallet.address, scope=scope))
            journal = stack.enter_context(
                journal_type(
                    config.store.directory, config.chain.chain_id, config.wallet.address, genesis=genesis
                )
            )
            store = stack.enter_context(Store.open(config.store.directory, family_of(stage)))
            signer = None
            if stage is Stage.LIVE:
                # Its libraries take a third of a second to import, and only a live engine needs them.
                from arbtui.signer import DevSigner

                signer = DevSigner(config.wallet.address, config.chain.chain_id, local=local)
            await _discover_new(desk, say)
            clock = SystemClock()
            store.start_run(_run_info(config, stage, approve, clock, seed))
            stack.callback(store.end_run)
            async with (
                _feed(desk) as feed,
                open_relay(config.relays, config.chain.timeout_s) as relay,
            ):
                engine = _engine(
                    config, desk, stage, approve, journal, store, signer, clock, say, feed, relay
                )
                if stage is Stage.LIVE:
                    desk.manager.submit = engine.submit
                yield engine


async def _discover_new(desk: Desk, say: Callable[[str], None]) -> None:
    """What the factories list since the last look; a failure leaves the engine with what is known."""
    config = desk.config
    if not config.discovery.factories:
        return
    try:
        outcome = await discover(config, desk.node, progress_lines(say))
    except ArbtuiError as error:
        say(f"discovery: {redact(str(error))}; going on with the pools known")
    else:
        if outcome.kept:
            new = sum(asked.new for asked in outcome.asked)
            say(f"discovery: {new} new pools, {outcome.kept} kept besides the {len(config.pools)} configured")
        desk.take(known(config))


def _engine(
    config: Config,
    desk: Desk,
    stage: Stage,
    approve: ApproveMode,
    journal: SqliteJournal,
    store: Store,
    signer: Signer | None,
    clock: SystemClock,
    say: Callable[[str], None],
    feed: HeadFeed,
    relay: Relay | None,
) -> Engine:
    node, chain = desk.node, config.chain
    bases = config.bases()
    watching = Watching(
        node=node,
        feed=feed,
        pools=_followed(desk.pools, config.watch.whole_ticks_spacing),
        tokens=desk.tokens,
        multicall=chain.multicall,
        check_blocks=config.watch.check_blocks,
        check_pools=config.watch.check_pools,
        monotonic=clock.monotonic,
    )
    decider = Decider(
        node=node,
        chain_id=chain.chain_id,
        block_time_s=chain.block_time_s,
        wrapped_native=desk.wrapped_native,
        wallet=config.wallet,
        gas=config.gas,
        tickets=config.tickets,
        manager=desk.manager,
        validator=OpportunityValidator(config.validation),
        wall_clock=clock.wall,
    )
    sending = Sending(
        node=node,
        journal=journal,
        signer=signer,
        clock=clock,
        chain_id=chain.chain_id,
        wallet=config.wallet,
        multicall=chain.multicall,
        tokens=desk.tokens,
        native_symbol=chain.native_symbol,
        max_fee_per_gas=config.gas.max_fee_per_gas,
        block_time_s=chain.block_time_s,
        relay=relay,
        why_not=decider.why_not,
    )
    keep_days = config.store.keep_days
    return Engine(
        node=node,
        chain=chain,
        stage=stage,
        approve=approve,
        search=config.search,
        tickets=config.tickets,
        gas=config.gas,
        tokens=desk.tokens,
        watching=watching,
        bases=bases,
        wrapped_native=desk.wrapped_native,
        wallet=config.wallet.address,
        finder=Finder(
            bases, config.search.max_hops, max(config.search.top, config.search.record), size_all=False
        ),
        decider=decider,
        sending=sending,
        journal=journal,
        store=store,
        retention=Retention(store, keep_days) if keep_days else None,
        reconciler=Reconciler(
            node=node,
            store=store,
            wallet=config.wallet,
            policy=config.reconciliation,
            multicall=chain.multicall,
            tokens=desk.tokens,
            watched=bases,
            native_symbol=chain.native_symbol,
            say=say,
        ),
        clock=clock,
        terms_of=lambda ticket_id: _terms(config, ticket_id, stage),
        say=say,
        health=desk.node.health,
        lenders=known_lenders(config),
        strategies=known_strategies(config),
    )


def _feed(desk: Desk) -> HeadFeed:
    chain = desk.config.chain
    return HeadFeed(
        desk.node,
        LogFilter(desk.pools, LOG_TOPICS | SWAP_TOPICS),
        poll_s=chain.poll_interval_s,
        block_time_s=chain.block_time_s,
        push=desk.node.push,
        chain_id=chain.chain_id,
    )


def _followed(pools: Mapping[Address, Pool], whole_from: int) -> dict[Address, Pool]:
    """Pools as an engine reads them: of V3 pools of at least the tick spacing `whole_from` every tick."""
    return {
        address: replace(pool, reach=None)
        if isinstance(pool, UniswapV3Pool) and pool.tick_spacing >= whole_from
        else pool
        for address, pool in pools.items()
    }


def _run_info(
    config: Config, stage: Stage, approve: ApproveMode, clock: SystemClock, seed: int | None
) -> RunInfo:
    return RunInfo(
        id=f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{secrets.token_hex(3)}",
        stage=stage,
        approve=str(approve),
        chain_id=config.chain.chain_id,
        chain=config.chain.name,
        wallet=config.wallet.address,
        executor=config.wallet.executor,
        treasury=config.wallet.treasury,
        version=__version__,
        # The secret's own repr is masked, so neither key nor address of the node enters the digest.
        config_digest=hashlib.sha256(config.model_dump_json().encode()).hexdigest(),
        started_at=clock.utc(),
        seed=seed,
    )


def _terms(config: Config, ticket_id: str, stage: Stage) -> SettlementTerms | None:
    """A ticket of an earlier run, as far as its settlement needs it."""
    try:
        with open_store(config.store.directory, family_of(stage)) as reader:
            row = reader.ticket(ticket_id)
    except StoreError:
        return None
    if row is None:
        return None
    try:
        token = row["token"]
        asset = parse_address(token["address"])
        rate = ConversionRate(
            Token(asset, token["symbol"], token["decimals"]),
            int(row["rate_numerator"]),
            int(row["rate_denominator"]),
            int(row["rate_block"]),
            tuple(parse_address(pool) for pool in row["rate_pools"]),
        )
        path = tuple(parse_address(hop["token_in"]) for hop in row["path"])
    except KeyError as error:
        raise MalformedAnswer(f"ticket {ticket_id} in the store lacks {error}") from error
    return SettlementTerms(asset, rate, path)
