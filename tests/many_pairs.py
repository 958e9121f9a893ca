"""Thousands of real Uniswap V2 pairs on the local chain, cheaply: the code of one, and its storage written by hand.

Storage of v2-core 1.0.1: UniswapV2Pair has factory, token0, token1 in slots 5 to 7 and the packed reserves in 8;
UniswapV2Factory has allPairs' length in 3 and its elements from keccak256(3) on.
"""

from __future__ import annotations

from arbtui.abi import keccak
from arbtui.units import ETHER, Address
from tests.chain import Hand
from tests.fake_market import address

_BATCH = 200
_LIST = int.from_bytes(keccak((3).to_bytes(32)))


def _word(value: int | str) -> str:
    return f"0x{int(value, 16) if isinstance(value, str) else value:064x}"


async def add_pairs(hand: Hand, count: int, per_token: int = 4) -> list[Address]:
    """`count` further pairs in the list of Uniswap's V2 factory: each new token has `per_token` with base tokens."""
    book = hand.book
    factory = next(f.address for f in book.factories if (f.dex, f.kind) == ("uniswap", "uniswap_v2"))
    model = next(p.address for p in book.pools if (p.dex, p.kind) == ("uniswap", "uniswap_v2"))
    bases = [book.token(symbol) for symbol in ("WETH", "USDC", "DAI", "USDT", "WBTC")]
    # A price at which each base token's side is worth some thousand dollars; the other side is as good as any.
    whole = {
        "WETH": 10**18,
        "USDC": 3_000 * 10**6,
        "DAI": 3_000 * ETHER,
        "USDT": 3_000 * 10**6,
        "WBTC": 10**7,
    }
    # Code without storage: a token of no name.
    pair_code = "0x" + (await hand.node.code(model)).hex()
    token_code = "0x" + (await hand.node.code(book.token("DAI").address)).hex()
    known = int(str(await hand.rpc.call("eth_getStorageAt", [factory, "0x3", "latest"])), 16)
    writes: list[tuple[str, list[str]]] = [("anvil_setStorageAt", [factory, "0x3", _word(known + count)])]
    out: list[Address] = []
    for i in range(count):
        base = bases[i % per_token]
        token = address("many token", i // per_token)
        pair = address("many pair", i)
        if i % per_token == 0:
            writes.append(("anvil_setCode", [token, token_code]))
        token0, token1 = sorted((base.address, token), key=lambda a: int(a, 16))
        mine, other = (10 + i % 90) * whole[base.symbol], 10**20 + i
        reserve0, reserve1 = (mine, other) if token0 == base.address else (other, mine)
        writes += [
            ("anvil_setCode", [pair, pair_code]),
            ("anvil_setStorageAt", [pair, "0x5", _word(factory)]),
            ("anvil_setStorageAt", [pair, "0x6", _word(token0)]),
            ("anvil_setStorageAt", [pair, "0x7", _word(token1)]),
            ("anvil_setStorageAt", [pair, "0x8", _word(reserve0 | reserve1 << 112)]),
            ("anvil_setStorageAt", [factory, hex(_LIST + known + i), _word(pair)]),
        ]
        out.append(pair)
    for start in range(0, len(writes), _BATCH):
        for answer in await hand.rpc.batch(writes[start : start + _BATCH]):
            if isinstance(answer, Exception):
                raise answer
    await hand.mine()
    return out
