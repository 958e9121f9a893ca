"""Gas of one run of the executor by lender and route, on a local chain in a steady state.

All pools were traded both ways and every measured route was run once in earlier blocks; the markets have borrowers;
the executor keeps one base unit of each token and the treasury holds some; the ticket's word is in use. Per route the
lenders run on one and the same state, restored between them.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from eth_abi.abi import encode

from arbtui.abi import keccak
from arbtui.bootstrap import open_desk
from arbtui.devnet import BookPool, Devnet, plan
from arbtui.domain import Hop, HopAmount, LenderId, LoanQuote, Opportunity, PoolKind
from arbtui.domain import Path as Cycle
from arbtui.execution import encode_execute
from arbtui.lenders import LenderPolicy
from arbtui.market import MarketState
from arbtui.units import UINT256_MAX, Address, Ppm, parse_amount
from tests.chain import Hand, config_for, in_hand, running_chain

OWN, MAKER, BALANCER = LenderId.OWN, LenderId.MAKER, LenderId.BALANCER_V2
ERC3156 = LenderId.ERC3156
FLASH, V3_FLASH = LenderId.FLASH_SWAP, LenderId.UNISWAP_V3
AAVE = (LenderId.AAVE_V2, LenderId.AAVE_V3)
V2, V3 = "uniswap_v2", "uniswap_v3"
ARTIFACTS = Path(__file__).parents[2] / "contracts" / "artifacts"
#: Off the reference price; above the fees of two V2 pairs and Aave's premium.
_OFFSET_PPM = 15_000
_WARM_UP_PART = 20
_LIMIT = 3_000_000
_BLOCK_TIME_S = 12


@dataclass(frozen=True, slots=True)
class Step:
    """The pool of a hop: its exchange, kind, and, where there are several, its fee."""

    to: str
    dex: str = "uniswap"
    kind: str = V2
    fee_ppm: int = 3000


@dataclass(frozen=True, slots=True)
class Route:
    """A cycle that starts with `amount` whole `asset`; its one V2 pair of Uniswap (the first) is the one moved.

    With `debt_free` nobody owes the asset to Aave v2, which then has less to bring up to date; with `no_factor` it is
    owed, and Aave's treasury takes nothing of the interest. With `flash_mint` the
    asset is a token that lends itself by ERC-3156, and the executor's lender of that code is the token.
    """

    name: str
    asset: str
    amount: str
    steps: tuple[Step, ...]
    lenders: tuple[LenderId, ...]
    debt_free: bool = False
    no_factor: bool = False
    flash_mint: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """`refund` is what was taken off to arrive at `gas`, `over_own` what `gas` is over own capital's."""

    route: str
    asset: str
    lender: LenderId
    calldata: int
    gas: int
    refund: int
    over_own: int
    given: int


ROUTES = (
    *(
        Route("V2>V2", asset, amount, (Step(other), Step(asset, "sushiswap")), (OWN, *more))
        for asset, amount, other, more in (
            ("WETH", "8", "USDC", (FLASH, BALANCER, *AAVE, V3_FLASH)),
            ("USDC", "20000", "WETH", (FLASH, BALANCER, *AAVE, V3_FLASH)),
            ("USDT", "20000", "WBTC", (FLASH, LenderId.AAVE_V2)),
            ("WBTC", "0.3", "USDT", (FLASH, LenderId.AAVE_V2)),
            ("DAI", "20000", "WETH", (FLASH, MAKER)),
        )
    ),
    *(
        Route("V3>V2", asset, amount, (Step("WETH", kind=V3, fee_ppm=fee), Step(asset)), (OWN, *more))
        for asset, amount, fee, more in (
            ("USDC", "20000", 500, (*AAVE, BALANCER)),
            ("DAI", "20000", 3000, (MAKER,)),
        )
    ),
    Route("V2>V3", "USDC", "20000", (Step("WETH"), Step("USDC", kind=V3, fee_ppm=500)), (OWN,)),
    Route(
        "V2>V2 debt-free",
        "USDC",
        "20000",
        (Step("WETH"), Step("USDC", "sushiswap")),
        (OWN, LenderId.AAVE_V2),
        debt_free=True,
    ),
    Route(
        "V2>V2 no-factor",
        "USDC",
        "20000",
        (Step("WETH"), Step("USDC", "sushiswap")),
        (OWN, LenderId.AAVE_V2),
        no_factor=True,
    ),
    Route(
        "V2>V2 flash-mint",
        "DAI",
        "20000",
        (Step("WETH"), Step("DAI", "sushiswap")),
        (OWN, ERC3156),
        flash_mint=True,
    ),
    # The pools have no cycle of three tokens.
    Route(
        "V2>V2>V3>V3",
        "USDC",
        "20000",
        (
            Step("WETH"),
            Step("WBTC"),
            Step("USDT", kind=V3, fee_ppm=500),
            Step("USDC", kind=V3, fee_ppm=100),
        ),
        (OWN,),
    ),
)


def ticket(number: int) -> str:
    """Ids as the engine makes them: 31 bytes of a run, then dense."""
    return "0x" + keccak(b"tests.bench.gas|0")[:31].hex() + f"{number:02x}"


class _Bench:
    def __init__(self, hand: Hand, folder: Path) -> None:
        self.hand = hand
        self.book = hand.book
        self._folder = folder
        # A word has 64 tickets: what is measured is undone each time, and takes the last of them.
        self._tickets = iter(range(63))

    async def measure(self, routes: Sequence[Route]) -> list[Row]:
        await self._settle_in()
        for route in routes:
            if not route.flash_mint:
                await self._warm_up(route)
        rows: list[Row] = []
        for route in routes:
            whole = await self.hand.rpc.call("evm_snapshot")
            if route.debt_free:
                await self._repay_aave_v2(route.asset)
            if route.no_factor:
                await self._no_factor_in_aave_v2(route.asset)
            if route.flash_mint:
                await self._lend_itself(route.asset)
                await self._warm_up(route)
            await self._from_level(route)
            own = 0
            for lender in route.lenders:
                mark = await self.hand.rpc.call("evm_snapshot")
                calldata, gas, refund = await self._run(route, lender)
                mark = await self._undo(mark)
                _, given, _ = await self._run(route, lender, given=True)
                await self._undo(mark)
                own = gas if lender is OWN else own
                rows.append(Row(route.name, route.asset, lender, calldata, gas, refund, gas - own, given))
            await self._undo(whole)
        return rows

    async def _warm_up(self, route: Route) -> None:
        for lender in route.lenders:
            await self._from_level(route)
            await self._run(route, lender, _WARM_UP_PART)

    async def _undo(self, mark: str) -> str:
        assert await self.hand.rpc.call("evm_revert", [mark])
        return str(await self.hand.rpc.call("evm_snapshot"))

    async def _settle_in(self) -> None:
        """A unit of each token for the executor and the treasury; own capital allowed."""
        # By itself anvil gives blocks of one second the same time, in which pairs skip their price sums.
        await self.hand.rpc.call("anvil_setBlockTimestampInterval", [_BLOCK_TIME_S])
        for token in self.book.tokens:
            for holder in (self.book.executor, self.book.treasury):
                await self._give(token.symbol, holder, 1)
        owner = self.book.accounts[0]
        await self.hand.send(owner, self.book.executor, "setLender(uint8,bool)", 0, True)

    async def _repay_aave_v2(self, symbol: str) -> None:
        borrower, token = self.book.accounts[plan.BORROWER], self.book.token(symbol)
        await self._give(symbol, borrower, 10**6 * 10**token.decimals)
        await self.hand.send(
            borrower,
            self.book.lenders["aave_v2"],
            "repay(address,uint256,uint256,address)",
            *(token.address, UINT256_MAX, 2, borrower),
        )

    async def _no_factor_in_aave_v2(self, symbol: str) -> None:
        owner, pool = self.book.accounts[0], self.book.lenders["aave_v2"]
        provider = await self.hand.ask_address(pool, "getAddressesProvider()")
        configurator = await self.hand.ask_address(provider, "getLendingPoolConfigurator()")
        asset = self.book.token(symbol).address
        await self.hand.send(owner, configurator, "setReserveFactor(address,uint256)", asset, 0)

    async def _lend_itself(self, symbol: str) -> None:
        """Put the code of a flash-mint token where the token is, and its address where the executor has the stand-in's.

        Lenders are immutables, that is, constants in the executor's code: with another address in their place it costs
        what one deployed with that address costs.
        """
        token = self.book.token(symbol)
        artifact = json.loads((ARTIFACTS / "FlashMintToken.json").read_text("utf-8"))
        given = encode(["string", "string", "uint8"], [symbol, symbol, token.decimals])
        owner = self.book.accounts[0]
        call = {"from": owner, "data": artifact["bytecode"] + given.hex(), "gas": hex(_LIMIT)}
        tx_hash = await self.hand.rpc.call("eth_sendTransaction", [call])
        await self.hand.mine()
        made = (await self.hand.rpc.call("eth_getTransactionReceipt", [tx_hash]))["contractAddress"]
        code = await self.hand.rpc.call("eth_getCode", [made, "latest"])
        await self.hand.rpc.call("anvil_setCode", [token.address, code])
        there, here = (address[2:].lower() for address in (self.book.lenders["maker"], token.address))
        executor = await self.hand.rpc.call("eth_getCode", [self.book.executor, "latest"])
        assert there in executor
        await self.hand.rpc.call("anvil_setCode", [self.book.executor, executor.replace(there, here)])

    async def _give(self, symbol: str, to: Address, amount: int) -> None:
        token = self.book.token(symbol).address
        await self.hand.send(self.book.traders[0], token, "transfer(address,uint256)", to, amount)

    async def _from_level(self, route: Route) -> None:
        """All pools at the reference price but the moved one, which makes the route pay; each in earlier blocks."""
        await self.hand.align()
        at = route.asset
        for step, hop in zip(route.steps, self._hops(route), strict=True):
            if (step.dex, step.kind) == ("uniswap", V2):
                offset = _OFFSET_PPM if hop.zero_for_one else -_OFFSET_PPM
                await self.hand.dislocate(f"{at}/{step.to}", offset)
                return
            at = step.to

    def _hops(self, route: Route) -> tuple[Hop, ...]:
        hops = []
        at = route.asset
        for step in route.steps:
            pool = self._pool(at, step)
            token_in, token_out = (self.book.token(symbol).address for symbol in (at, step.to))
            kind = PoolKind(pool.kind)
            hops.append(Hop(pool.address, pool.dex, kind, Ppm(pool.fee_ppm), token_in, token_out))
            at = step.to
        return tuple(hops)

    def _pool(self, at: str, step: Step) -> BookPool:
        wanted = (step.dex, step.kind, step.fee_ppm)
        return next(p for p in self.book.pools_of(at, step.to) if (p.dex, p.kind, p.fee_ppm) == wanted)

    def _source(self, lender: LenderId, opportunity: Opportunity) -> Address | None:
        """A V3 pool of the token that the cycle does not trade on; a flash swap needs none."""
        if lender is not V3_FLASH:
            return None
        return self._lending_pool(opportunity).address

    def _lending_pool(self, opportunity: Opportunity) -> BookPool:
        token, busy = opportunity.token.address, opportunity.path.pools
        return next(
            p
            for p in self.book.pools
            if p.kind == V3 and token in (p.token0, p.token1) and p.address not in busy
        )

    def _fee(self, lender: LenderId, quotes: Sequence[LoanQuote], opportunity: Opportunity) -> int:
        if lender is FLASH:
            return 0
        if lender is V3_FLASH:
            return -(-opportunity.amount_in * self._lending_pool(opportunity).fee_ppm // 1_000_000)
        quoted = next(quote for quote in quotes if quote.lender == lender)
        assert quoted.usable or lender is OWN, f"{lender}: {quoted.reason} {quoted.detail}"
        return quoted.fee or 0

    async def _run(
        self, route: Route, lender: LenderId, part: int = 1, given: bool = False
    ) -> tuple[int, int, int]:
        """One execution; bytes of calldata, gas used, refund. `part` divides the amount."""
        config = config_for(self.hand.devnet, self._folder / "store")
        if lender is ERC3156:
            itself = LenderPolicy(address=self.book.token(route.asset).address)
            config = config.model_copy(
                update={"lenders": config.lenders.model_copy(update={"erc3156": itself})}
            )
        amount = parse_amount(route.amount, self.book.token(route.asset).decimals) // part
        if lender is OWN:
            await self._give(route.asset, self.book.executor, amount)
        async with open_desk(config) as desk:
            state = await desk.market()
            opportunity = _cycle(state, self._hops(route), amount)
            _, quotes, _ = await desk.quotes(amount, opportunity.token)
        hoped = opportunity.gross_profit - self._fee(lender, quotes, opportunity)
        assert hoped > 1, f"{route.name} {route.asset} through {lender} does not pay: {hoped}"
        # As the engine's default: half of what is hoped for.
        call = encode_execute(
            ticket(63 if part == 1 else next(self._tickets)),
            lender,
            opportunity,
            hoped // 2,
            state.block.number + 200,
            self._source(lender, opportunity),
            amounts_given=given,
        )
        transaction = {
            "from": self.book.wallet,
            "to": self.book.executor,
            "data": "0x" + call.hex(),
            "gas": hex(_LIMIT),
        }
        foreseen, refund = await self._traced(transaction, state)
        tx_hash = await self.hand.rpc.call("eth_sendTransaction", [transaction])
        await self.hand.mine()
        receipt = await self.hand.node.receipt(tx_hash)
        assert receipt is not None
        assert receipt.success, f"{route.name} {route.asset} through {lender} reverted"
        assert receipt.gas_used == foreseen, f"{receipt.gas_used} gas, the trace said {foreseen}"
        if lender is OWN:
            # What was lent goes back, so that one unit stays.
            sweep = (self.book.token(route.asset).address, self.book.traders[0], amount)
            await self.hand.send(
                self.book.accounts[0], self.book.executor, "sweep(address,address,uint256)", *sweep
            )
        return len(call), receipt.gas_used, refund

    async def _traced(self, transaction: dict[str, str], state: MarketState) -> tuple[int, int]:
        """Gas used, and the refund in it, of a transaction in the next block."""
        block = state.block
        options = {
            "disableStack": True,
            "disableStorage": True,
            "blockOverrides": {"number": hex(block.number + 1), "time": hex(block.timestamp + _BLOCK_TIME_S)},
        }
        trace = await self.hand.rpc.call("debug_traceCall", [transaction, hex(block.number), options])
        used, counter = int(trace["gas"]), int(trace["structLogs"][-1].get("refund", 0))
        # EIP-3529: at most a fifth of the gas before the refund.
        return used, min(counter, used // 4)


def _cycle(state: MarketState, hops: tuple[Hop, ...], amount_in: int) -> Opportunity:
    amounts = []
    amount = amount_in
    for hop in hops:
        swap = state.pools[hop.pool].swap_exact_in(hop.token_in, amount)
        amounts.append(HopAmount(hop, amount, swap.amount_out, 0))
        amount = swap.amount_out
    token = state.token(hops[0].token_in)
    return Opportunity(Cycle(hops), token, amount_in, amount, tuple(amounts), state.block)


async def _measured(devnet: Devnet, folder: Path, routes: Sequence[Route]) -> list[Row]:
    async with in_hand(devnet) as hand:
        return await _Bench(hand, folder).measure(routes)


def measure(routes: Sequence[Route] = ROUTES) -> list[Row]:
    """Every route through each of its lenders, on a chain of its own."""
    with tempfile.TemporaryDirectory(prefix="arbtui-bench-") as name, running_chain(Path(name)) as devnet:
        return asyncio.run(_measured(devnet, Path(name), routes))


def lines(rows: Iterable[Row]) -> list[str]:
    """The rows as a Markdown table."""
    out = [
        "| route | asset | lender | calldata | gas used | refund in it | over own capital | amounts given |",
        "|---|---|---|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        over = "" if row.lender is OWN else f"{row.over_own:,}"
        out.append(
            f"| {row.route.replace('>', '→')} | {row.asset} | {row.lender} | {row.calldata:,} | {row.gas:,} | "
            f"{row.refund:,} | {over} | {row.given if row.given != row.gas else 0:,} |".replace(
                "| 0 |", "| |"
            )
        )
    return out


#: The committed figures; `python -m tests.bench.gas --write` makes them anew.
SNAPSHOT = Path(__file__).parents[2] / "contracts" / "gas.json"


def snapshot(rows: Iterable[Row]) -> dict[str, dict[str, int]]:
    """Route, asset and lender of each row to its gas, with the amounts computed and with them given."""
    return {
        f"{row.route} {row.asset} {row.lender}": {
            "gas": row.gas,
            "amounts_given": row.given,
            "calldata": row.calldata,
        }
        for row in rows
    }


if __name__ == "__main__":
    measured = measure()
    sys.stdout.write("\n".join(lines(measured)) + "\n")
    if sys.argv[1:] == ["--write"]:
        SNAPSHOT.write_text(json.dumps(snapshot(measured), indent=1) + "\n", "utf-8")
