"""A market kept by logs, by hand: what changes, what drifts, what a rollback and a heal leave."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbtui.abi import topic
from arbtui.domain import BlockRef, Log, Token
from arbtui.errors import UsageError
from arbtui.market import MarketState, NotConnected, Pool, SwapReverts, Tracker, UniswapV2Pool, UniswapV3Pool
from arbtui.market.tick_math import sqrt_ratio_at_tick
from arbtui.units import Address, Ppm, Wei, parse_address

SYNC = topic("Sync(uint112,uint112)")
SWAP = topic("Swap(address,address,int256,int256,uint160,uint128,int24)")
MINT = topic("Mint(address,address,int24,int24,uint128,uint256,uint256)")
BURN = topic("Burn(address,int24,int24,uint128,uint256,uint256)")
WORD = "0x" + "00" * 32


def at(number: int) -> Address:
    return parse_address(f"0x{number:040x}")


A, B, C = at(1), at(2), at(3)
ONE, TWO, DEEP = at(101), at(102), at(103)


def data(*values: int) -> bytes:
    return b"".join((value % 2**256).to_bytes(32) for value in values)


def indexed(value: int) -> str:
    return "0x" + (value % 2**256).to_bytes(32).hex()


def ref(number: int, fork: str = "a", parent: str | None = None) -> BlockRef:
    parent = f"{fork}{number - 1}" if parent is None else parent
    return BlockRef(number, f"{fork}{number}", parent, number * 12, Wei(0), 0, 0)


def pair(address: Address, reserve0: int, reserve1: int) -> UniswapV2Pool:
    return UniswapV2Pool(address, "uniswap", A, B, Ppm(3000), reserve0, reserve1)


def deep(window: tuple[int, int] | None = None) -> UniswapV3Pool:
    """One position of 1,000 around tick 0, spacing 10; `window` leaves it known in part."""
    ticks = tuple(
        tick for tick in ((-5000, 1000), (5000, -1000)) if window is None or window[0] <= tick[0] <= window[1]
    )
    gross = tuple(abs(net) for _, net in ticks)
    reach = None if window is None else 1
    return UniswapV3Pool(
        DEEP, "v3", B, C, Ppm(500), 10, sqrt_ratio_at_tick(0), 0, 1000, ticks, window, gross, reach
    )


def market(*pools: Pool, number: int = 0) -> MarketState:
    return MarketState(ref(number), {A: Token(A, "A", 18)}, {pool.address: pool for pool in pools})


def log(
    address: Address, number: int, place: int, topics: Sequence[str], body: bytes, tx: str = "0x01"
) -> Log:
    return Log(address, tuple(topics), body, number, tx, place)


def sync(address: Address, number: int, place: int, reserve0: int, reserve1: int) -> Log:
    return log(address, number, place, [SYNC], data(reserve0, reserve1))


def swap_to(number: int, place: int, tick: int, liquidity: int) -> Log:
    return log(
        DEEP, number, place, [SWAP, WORD, WORD], data(5, -5, sqrt_ratio_at_tick(tick), liquidity, tick)
    )


def position(number: int, place: int, low: int, high: int, change: int) -> Log:
    topics = [MINT if change > 0 else BURN, WORD, indexed(low), indexed(high)]
    body = data(0, change, 1, 1) if change > 0 else data(-change, 1, 1)
    return log(DEEP, number, place, topics, body)


def test_a_block_changes_what_its_logs_say_in_their_order() -> None:
    start = market(pair(ONE, 10, 10), pair(TWO, 20, 20), deep())
    tracker = Tracker(start)
    logs = [
        sync(ONE, 1, 7, 12, 9),
        sync(ONE, 1, 3, 11, 10),
        position(1, 5, -100, 100, 7),
        sync(ONE, 1, 7, 12, 9),
        sync(at(999), 1, 1, 5, 5),
        sync(TWO, 9, 2, 5, 5),
        log(TWO, 1, 4, [topic("Transfer(address,address,uint256)")], data(1)),
        log(TWO, 1, 6, [], b""),
    ]
    applied = tracker.apply(ref(1), logs)
    assert applied.changed == {ONE, DEEP}
    assert (applied.drifted, applied.reread) == ({}, frozenset())
    assert tracker.head == ref(1)
    assert tracker.state.pools[ONE] == pair(ONE, 12, 9)
    assert tracker.state.pools[TWO] is start.pools[TWO]
    kept = tracker.state.pools[DEEP]
    assert isinstance(kept, UniswapV3Pool)
    assert kept.ticks == ((-5000, 1000), (-100, 7), (100, -7), (5000, -1000))
    assert (kept.liquidity, kept.gross) == (1007, (1000, 7, 7, 1000))
    assert start.pools[ONE] == pair(ONE, 10, 10), "who holds the state before still has it"
    assert tracker.state.shares_topology(start)
    # The same block once more, and none of its logs, change nothing.
    assert tracker.apply(ref(1), [sync(ONE, 1, 9, 1, 1)]).changed == frozenset()
    assert tracker.state.pools[ONE] == pair(ONE, 12, 9)


@pytest.mark.parametrize("block", [ref(2), ref(1, "b"), ref(0, "b"), ref(7), ref(1, parent="a9")])
def test_only_the_heads_child_is_taken(block: BlockRef) -> None:
    tracker = Tracker(market(pair(ONE, 10, 10)))
    with pytest.raises(NotConnected, match=f"block {block.number} .*does not follow block 0"):
        tracker.apply(block, [sync(ONE, block.number, 1, 1, 1)])
    assert tracker.head == ref(0)
    assert tracker.state.pools[ONE] == pair(ONE, 10, 10)


BROKEN = [
    (sync(ONE, 1, 1, 2**112, 1), "a Sync with a reserve beyond uint112"),
    (log(ONE, 1, 1, [SYNC], data(1)), "a Sync of 1 topics and 32 bytes, not 1 and 64"),
    (log(ONE, 1, 1, [SYNC], data(1, 2, 3)), "a Sync of 1 topics and 96 bytes, not 1 and 64"),
    (log(ONE, 1, 1, [SYNC, WORD], data(1, 2)), "a Sync of 2 topics and 64 bytes, not 1 and 64"),
]


@pytest.mark.parametrize(("bad", "reason"), BROKEN, ids=[reason for _, reason in BROKEN])
def test_a_log_that_cannot_be_right_makes_its_pool_drift_and_harms_no_other(bad: Log, reason: str) -> None:
    tracker = Tracker(market(pair(ONE, 10, 10), pair(TWO, 20, 20)))
    applied = tracker.apply(ref(1), [bad, sync(TWO, 1, 2, 21, 20)])
    assert applied.changed == {ONE, TWO}
    assert applied.drifted == {ONE: reason}
    assert tracker.drifted == {ONE: reason}
    assert tracker.state.pools[TWO] == pair(TWO, 21, 20)
    drifted = tracker.state.pools[ONE]
    assert drifted.quote_out(A, 5) == 0
    assert not list(drifted.stretches(A))
    with pytest.raises(SwapReverts):
        drifted.swap_exact_in(A, 5)
    # Its further logs are not trusted before it is read.
    assert tracker.apply(ref(2), [sync(ONE, 2, 1, 5, 5)]).changed == frozenset()
    assert tracker.compare({ONE: pair(ONE, 5, 5)}) == {ONE: reason}
    assert tracker.heal({ONE: pair(ONE, 5, 5)}) == {ONE}
    assert tracker.drifted == {}
    assert tracker.apply(ref(3), [sync(ONE, 3, 1, 6, 5)]).changed == {ONE}
    # Back to before it was read: drifted again; to before the bad log: as it was.
    assert tracker.rollback("a1") >= {ONE}
    assert tracker.drifted == {ONE: reason}
    assert tracker.rollback("a0") == {ONE, TWO}
    assert tracker.drifted == {}
    assert tracker.state.pools == {ONE: pair(ONE, 10, 10), TWO: pair(TWO, 20, 20)}


def test_two_logs_at_one_place_are_not_chosen_between() -> None:
    tracker = Tracker(market(pair(ONE, 10, 10), pair(TWO, 20, 20), deep()))
    applied = tracker.apply(
        ref(1), [sync(ONE, 1, 1, 11, 10), sync(TWO, 1, 1, 21, 20), position(1, 2, -10, 10, 1)]
    )
    reason = "two different logs at place 1 of block 1"
    assert applied.drifted == {ONE: reason, TWO: reason}
    assert applied.changed == {ONE, TWO, DEEP}
    # Read before that block, they are carried into the same contradiction.
    tracker.heal({ONE: pair(ONE, 10, 10)}, "a0")
    assert tracker.drifted == {ONE: reason, TWO: reason}


def test_rollback_goes_to_any_block_of_the_last_64_and_no_further() -> None:
    tracker = Tracker(market(pair(ONE, 0, 1)))
    for number in range(1, 101):
        tracker.apply(ref(number), [sync(ONE, number, 0, number, 1)] if number % 3 else [])
    assert tracker.knows("a36")
    assert not tracker.knows("a35")
    for unknown in ("a35", "b99", ""):
        with pytest.raises(NotConnected, match="not among the last 64 before block 100"):
            tracker.rollback(unknown)
    assert tracker.rollback("a100") == frozenset()
    assert tracker.rollback("a99") == {ONE}
    assert tracker.state.pools[ONE] == pair(ONE, 98, 1)
    assert tracker.rollback("a36") == {ONE}
    assert tracker.head == ref(36)
    assert tracker.state.pools[ONE] == pair(ONE, 35, 1)
    applied = tracker.apply(ref(37, "b", "a36"), [sync(ONE, 37, 0, 7, 7)])
    assert applied.changed == {ONE}
    assert tracker.state.pools[ONE] == pair(ONE, 7, 7)


def test_compare_names_each_pool_that_is_not_as_it_was_read() -> None:
    tracker = Tracker(market(pair(ONE, 10, 10), pair(TWO, 20, 20), deep()))
    tracker.apply(ref(1), [sync(TWO, 1, 1, 21, 20)])
    right = dict(tracker.state.pools)
    assert tracker.compare(right) == {}
    gone = replace(deep(), liquidity=999, ticks=((-5000, 999), (5000, -999)), gross=(999, 999))
    more = replace(deep(), ticks=((-5000, 1000), (60, 0), (5000, -1000)), gross=(1000, 2, 1000))
    assert tracker.compare(right | {ONE: pair(ONE, 10, 11), DEEP: gone}) == {
        ONE: "reserve1 10, on the chain 11",
        DEEP: "liquidity 1000, on the chain 999; tick -5000 and 1 more: (net, gross) (1000, 1000), "
        "on the chain (999, 999)",
    }
    assert tracker.compare({DEEP: more}) == {DEEP: "tick 60: (net, gross) absent, on the chain (0, 2)"}
    # A check that was read a block ago is compared with the state of then.
    assert tracker.compare({TWO: pair(TWO, 20, 20)}, "a0") == {}
    assert tracker.compare({TWO: pair(TWO, 20, 20)}) == {TWO: "reserve0 21, on the chain 20"}
    with pytest.raises(NotConnected):
        tracker.compare(right, "b1")
    with pytest.raises(UsageError, match="is not one of the 3 that are kept"):
        tracker.compare({at(7): pair(at(7), 1, 1)})


def test_a_pool_read_some_blocks_ago_is_carried_on_by_its_logs() -> None:
    tracker = Tracker(market(deep(), pair(ONE, 1, 1)))
    # The kept pool has missed a position of 50 from -20 to 20 that was there before block 1.
    before = replace(
        deep(),
        liquidity=1050,
        ticks=((-5000, 1000), (-20, 50), (20, -50), (5000, -1000)),
        gross=(1000, 50, 50, 1000),
    )
    for number in range(1, 5):
        tracker.apply(
            ref(number), [position(number, 1, -100, 100, number), sync(ONE, number, 2, number, number)]
        )
    read = replace(
        before,
        liquidity=1053,
        ticks=((-5000, 1000), (-100, 3), (-20, 50), (20, -50), (100, -3), (5000, -1000)),
        gross=(1000, 3, 50, 50, 3, 1000),
    )
    wrong = tracker.compare({DEEP: read}, "a2")
    assert wrong[DEEP].startswith("liquidity 1003, on the chain 1053; tick -20 and 1 more")
    assert tracker.heal({DEEP: read}, "a2") == {DEEP}
    kept = tracker.state.pools[DEEP]
    assert isinstance(kept, UniswapV3Pool)
    assert (kept.liquidity, dict(kept.ticks)[-100]) == (1060, 10)
    assert tracker.rollback("a3") == {DEEP, ONE}
    kept = tracker.state.pools[DEEP]
    assert isinstance(kept, UniswapV3Pool)
    assert (kept.liquidity, dict(kept.ticks)[-100]) == (1056, 6)
    assert tracker.drifted == {}
    assert tracker.rollback("a2") == {DEEP, ONE}
    assert tracker.state.pools[DEEP] == read
    # What it was before it was read, nobody knows.
    assert tracker.rollback("a1") == {DEEP, ONE}
    assert list(tracker.drifted) == [DEEP]
    assert tracker.state.pools[DEEP].quote_out(B, 10) == 0
    tracker.rollback("a0")
    assert list(tracker.drifted) == [DEEP]
    assert tracker.state.pools[ONE] == pair(ONE, 1, 1)


def test_a_windowed_pool_asks_to_be_read_before_it_leaves_its_window() -> None:
    span = 2560
    tracker = Tracker(market(deep((0, 2 * span - 10)), pair(ONE, 1, 1)))
    assert tracker.reread == {DEEP}, "its own word is the last below"
    tracker = Tracker(market(deep((-2 * span, 3 * span - 10)), pair(ONE, 1, 1)))
    assert tracker.reread == frozenset()
    assert tracker.apply(ref(1), [swap_to(1, 1, 3000, 1000)]).reread == frozenset()
    applied = tracker.apply(ref(2), [swap_to(2, 1, 5200, 0)])
    assert applied.reread == {DEEP}
    assert applied.drifted == {}
    # Read around the new price: the same pool, another window. Undone, the old one is right again.
    kept = tracker.state.pools[DEEP]
    assert isinstance(kept, UniswapV3Pool)
    wider = replace(kept, window=(0, 5 * span - 10), ticks=((5000, -1000),), gross=(1000,))
    assert tracker.compare({DEEP: wider}) == {}
    assert tracker.heal({DEEP: wider}) == {DEEP}
    assert tracker.reread == frozenset()
    tracker.apply(ref(3), [swap_to(3, 1, 5400, 0)])
    tracker.rollback("a2")
    assert tracker.state.pools[DEEP] == wider
    tracker.rollback("a1")
    assert tracker.drifted == {}
    kept = tracker.state.pools[DEEP]
    assert isinstance(kept, UniswapV3Pool)
    assert (kept.window, kept.tick) == ((-2 * span, 3 * span - 10), 3000)
    # Beyond the window all at once: nothing is quoted from ticks that are not known.
    applied = tracker.apply(ref(2), [swap_to(2, 1, 9000, 77)])
    assert applied.reread == {DEEP}
    assert applied.drifted == {}
    out = tracker.state.pools[DEEP]
    assert out.quote_out(B, 10) == out.quote_out(C, 10) == out.least_in(B, 1) == 0
    assert not list(out.stretches(B))
    with pytest.raises(SwapReverts, match="beyond the ticks that were read"):
        out.swap_exact_in(B, 10)
    # And back: what happened in the window meanwhile was kept.
    tracker.apply(ref(3), [position(3, 1, 100, 200, 5), swap_to(3, 2, 3000, 1000)])
    back = tracker.state.pools[DEEP]
    assert isinstance(back, UniswapV3Pool)
    assert back.ticks == ((-5000, 1000), (100, 5), (200, -5), (5000, -1000))
    assert back.quote_out(B, 10) > 0


def test_pools_are_added_and_left_out_while_it_runs() -> None:
    tracker = Tracker(market(pair(ONE, 1, 1)))
    tracker.apply(ref(1), [sync(ONE, 1, 1, 2, 2)])
    tracker.admit({TWO: pair(TWO, 5, 5)}, {B: Token(B, "B", 6)})
    assert tracker.drifted == {}
    assert tracker.state.tokens[B].symbol == "B"
    assert tracker.state.pools == {ONE: pair(ONE, 2, 2), TWO: pair(TWO, 5, 5)}
    tracker.apply(ref(2), [sync(TWO, 2, 1, 6, 5)])
    assert [pool.address for pool in tracker.state.pools_of(B)] == [ONE, TWO]
    tracker.rollback("a1")
    assert tracker.state.pools[TWO] == pair(TWO, 5, 5)
    tracker.rollback("a0")
    assert tracker.drifted == {TWO: "not read yet"}
    assert tracker.state.pools[TWO].quote_out(A, 3) == 0
    tracker.dismiss([TWO])
    assert tracker.drifted == {}
    assert tracker.state.pools == {ONE: pair(ONE, 1, 1)}
    assert tracker.apply(ref(1), [sync(TWO, 1, 1, 6, 5)]).changed == frozenset()


class Reference:
    """The same by replaying everything from the start: slow, and with nothing to undo."""

    def __init__(self) -> None:
        self.blocks: list[tuple[BlockRef, list[Log]]] = []

    def reserves(self) -> dict[Address, tuple[int, int]]:
        kept = {ONE: (10, 10), TWO: (20, 20)}
        for _, logs in self.blocks:
            for entry in sorted(logs, key=lambda entry: entry.log_index):
                kept[entry.address] = (int.from_bytes(entry.data[:32]), int.from_bytes(entry.data[32:]))
        return kept


def reserves(pools: Iterable[Pool]) -> dict[Address, tuple[int, int]]:
    return {pool.address: pool.virtual_reserves(A) for pool in pools}


@given(
    st.integers(0, 2**32), st.lists(st.sampled_from(["block", "block", "block", "back", "heal"]), max_size=40)
)
def test_any_history_leaves_what_a_replay_from_the_start_would(seed: int, history: list[str]) -> None:
    rng = random.Random(seed)
    tracker = Tracker(market(pair(ONE, 10, 10), pair(TWO, 20, 20)), depth=6)
    reference = Reference()
    forks = 0
    for action in history:
        length = len(reference.blocks)
        if action == "block":
            head = tracker.head
            block = BlockRef(head.number + 1, f"{forks}/{head.number + 1}", head.hash, 0, Wei(0), 0, 0)
            logs = [
                sync(rng.choice((ONE, TWO)), block.number, place, rng.randint(1, 99), rng.randint(1, 99))
                for place in range(rng.randint(0, 4))
            ]
            reference.blocks.append((block, logs))
            mixed = [*logs, *logs[:2]]
            rng.shuffle(mixed)
            tracker.apply(block, mixed)
        elif action == "back" and length:
            depth = rng.randint(1, min(6, length))
            target = reference.blocks[-depth][0].parent_hash
            if not tracker.knows(target):
                continue
            del reference.blocks[-depth:]
            tracker.rollback(target)
            forks += 1
        elif action == "heal" and length:
            back = rng.randrange(min(6, length))
            at_block = reference.blocks[length - 1 - back][0]
            if not tracker.knows(at_block.hash):
                continue
            older = Reference()
            older.blocks = reference.blocks[: length - back]
            read: dict[Address, Pool] = {
                address: pair(address, *some) for address, some in older.reserves().items()
            }
            assert tracker.compare(read, at_block.hash) == {}
            assert tracker.heal(read, at_block.hash) == frozenset()
        assert reserves(tracker.state.pools.values()) == reference.reserves()
        assert tracker.drifted == {}
