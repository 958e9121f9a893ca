"""The local chain's traders: each new block they do what the seed's draws say, at the pools' live prices."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import isqrt
from typing import Any

from arbtui.abi import decode, encode_call
from arbtui.chain.node import Node
from arbtui.chain.rpc import JsonRpc, data, quantity
from arbtui.devnet import draws, plan
from arbtui.devnet.book import AddressBook
from arbtui.devnet.draws import Tick, Venue
from arbtui.domain import BlockRef
from arbtui.errors import NodeError, NodeUnreachable, UnavailableError
from arbtui.units import GWEI, PPM, Address

_HEAD_POLL_S = 0.05
_PATIENCE = 5
_TRADE_GAS = 600_000
_MAX_FEE = 1_000 * GWEI
#: More than any purse holds: a V3 swap ends at its price limit.
_UNTIL_THE_LIMIT = 2**120
#: A pool closer than this to its target is left as it is.
_CLOSE_ENOUGH_PPM = 50
#: Under the 12.5 % by which a block's base fee may differ from its parent's.
_FEE_STEP_PPM = 120_000


@dataclass(frozen=True, slots=True)
class Trade:
    """One trader's wish: `pool` at `target`, the price of token0 in token1 in base units."""

    pool: Address
    target: Fraction
    trader: int
    tip: int


def target_price(venue: Venue, references: Mapping[str, int], offset_ppm: int = 0) -> Fraction:
    """The reference price of token0 in token1, in base units, and `offset_ppm` off it."""
    price = Fraction(
        references[venue.symbol0] * plan.one(venue.symbol1),
        references[venue.symbol1] * plan.one(venue.symbol0),
    )
    return price * (PPM + offset_ppm) / PPM


def v2_input_to(reserve_in: int, reserve_out: int, fee_ppm: int, target: Fraction) -> int:
    """Input that takes a V2 pair to `target` = reserve_out / reserve_in, in base units, rounded down.

    0 where the pair is there or past it.
    """
    kept = PPM - fee_ppm
    product = reserve_in * reserve_out * target.denominator // target.numerator
    gap = product - reserve_in * reserve_in
    if gap <= 0:
        return 0
    b = reserve_in * (PPM + kept)
    return max(0, (isqrt(b * b + 4 * kept * PPM * gap) - b) // (2 * kept))


class Traffic:
    """The traders of one chain. `sent` and `failed` count their transactions."""

    def __init__(
        self, rpc_url: str, book: AddressBook, seed: int, notice: Callable[[str], None] = lambda _: None
    ) -> None:
        self._url = rpc_url
        self._book = book
        self._notice = notice
        self._venues = {venue.address: venue for venue in draws.venues(book)}
        self._ticks = draws.ticks(seed, tuple(self._venues.values()))
        self.sent = 0
        self.failed = 0

    async def run(self) -> None:
        """Trade at each new block until cancelled; returns, with one notice, when the node is gone."""
        seen, failures = "", 0
        async with JsonRpc(self._url) as rpc:
            node = Node(rpc)
            while True:
                try:
                    head = await node.block()
                    if head.hash != seen:
                        seen = head.hash
                        await self.step(rpc, head)
                    failures = 0
                except (UnavailableError, NodeError) as error:
                    failures += 1
                    gone = isinstance(error, NodeUnreachable) and not error.sent
                    if gone or failures >= _PATIENCE:
                        self._notice(f"traffic ends: {error}")
                        return
                await asyncio.sleep(_HEAD_POLL_S)

    async def step(self, rpc: JsonRpc, head: BlockRef) -> Tick:
        """Do one tick's trades on top of `head` and set the next block's base fee; the tick that was done."""
        tick = next(self._ticks)
        low, high = (head.base_fee_per_gas * (PPM + s * _FEE_STEP_PPM) // PPM for s in (-1, 1))
        await rpc.call("anvil_setNextBlockBaseFeePerGas", [hex(max(low, min(high, tick.base_fee)))])
        await self.trade(rpc, self.wishes(tick))
        return tick

    def wishes(self, tick: Tick) -> list[Trade]:
        """A tick's trades: what closes, what is kept up, what opens."""
        out = [Trade(d.pool, self._target(d.pool, tick), d.closer, d.closer_tip) for d in tick.closes]
        out += [Trade(u.pool, self._target(u.pool, tick), u.trader, u.tip) for u in tick.upkeep]
        out += [
            Trade(d.pool, self._target(d.pool, tick, d.offset_ppm), d.opener, d.opener_tip)
            for d in tick.opens
        ]
        return out

    async def trade(self, rpc: JsonRpc, wishes: Sequence[Trade]) -> None:
        """Send what brings each pool to its target, from the state of the latest block."""
        if not wishes:
            return
        traders = sorted({wish.trader for wish in wishes})
        reads = [("eth_call", [self._state_call(wish.pool), "latest"]) for wish in wishes]
        reads += [("eth_getTransactionCount", [self._book.traders[trader], "pending"]) for trader in traders]
        answers = await rpc.batch(reads)
        for answer in answers:
            if isinstance(answer, NodeError):
                raise answer
        nonces = {
            trader: quantity(answer, "eth_getTransactionCount")
            for trader, answer in zip(traders, answers[len(wishes) :], strict=True)
        }
        sends: list[tuple[str, list[Any]]] = []
        for wish, answer in zip(wishes, answers, strict=False):
            call = self._call_to(self._venues[wish.pool], wish.target, data(answer, "a pool's state"))
            if call is None:
                continue
            transaction = {
                "from": self._book.traders[wish.trader],
                "to": self._book.trader,
                "data": "0x" + call.hex(),
                "gas": hex(_TRADE_GAS),
                "nonce": hex(nonces[wish.trader]),
                "maxFeePerGas": hex(_MAX_FEE),
                "maxPriorityFeePerGas": hex(wish.tip),
            }
            nonces[wish.trader] += 1
            sends.append(("eth_sendTransaction", [transaction]))
        results = await rpc.batch(sends)
        failed = sum(isinstance(result, NodeError) for result in results)
        self.sent += len(results) - failed
        self.failed += failed

    def _target(self, pool: Address, tick: Tick, offset_ppm: int = 0) -> Fraction:
        return target_price(self._venues[pool], tick.references, offset_ppm)

    def _state_call(self, pool: Address) -> dict[str, str]:
        signature = "getReserves()" if self._venues[pool].kind == "uniswap_v2" else "slot0()"
        return {"to": pool, "data": "0x" + encode_call(signature).hex()}

    @staticmethod
    def _call_to(venue: Venue, target: Fraction, state: bytes) -> bytes | None:
        """Calldata that takes the pool to `target`; None where it is there already."""
        if venue.kind == "uniswap_v2":
            reserve0, reserve1 = decode(["uint112", "uint112"], state[:64], "getReserves()")
            price = Fraction(reserve1, reserve0)
        else:
            (root,) = decode(["uint160"], state[:32], "slot0()")
            price = Fraction(root * root, 2**192)
        if abs(price - target) * PPM <= target * _CLOSE_ENOUGH_PPM:
            return None
        zero_for_one = price > target
        if venue.kind != "uniswap_v2":
            limit = plan.sqrt_price_x96(target)
            return encode_call(
                "swapV3(address,bool,int256,uint160)", venue.address, zero_for_one, _UNTIL_THE_LIMIT, limit
            )
        if zero_for_one:
            amount = v2_input_to(reserve0, reserve1, venue.fee_ppm, target)
        else:
            amount = v2_input_to(reserve1, reserve0, venue.fee_ppm, 1 / target)
        return encode_call(
            "swapV2(address,bool,uint256,uint256)", venue.address, zero_for_one, amount, venue.fee_ppm
        )
