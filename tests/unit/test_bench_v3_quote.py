"""The benchmark's own parts: what it asks, what it would put into a pool's storage, and a table without a peer."""

from __future__ import annotations

import pytest

from tests.bench import v3_quote


def test_quotes_cross_as_many_ticks_as_they_say() -> None:
    asked = v3_quote.quotes(4)
    assert {quote.crossed for quote in asked} >= {0}
    assert len(asked) > 40
    for quote in asked:
        pool = quote.pool
        done = pool.swap_exact_in(quote.token_in, quote.amount)
        assert done.amount_in == quote.amount
        after = done.after
        assert isinstance(after, v3_quote.UniswapV3Pool)
        low, high = sorted((pool.tick, after.tick))
        # A range without liquidity between two ticks costs nothing and is no range of its own.
        assert sum(low < index <= high for index, _ in pool.ticks) >= quote.crossed


def test_storage_holds_price_tick_and_every_tick() -> None:
    pool = v3_quote.pools()[1]
    slots = {int(slot): int(value) for slot, value in v3_quote.storage(pool).items()}
    assert slots[0] == pool.tick << 160 | pool.sqrt_price_x96
    assert slots[4] == pool.liquidity
    words = {index // pool.tick_spacing >> 8 for index, _ in pool.ticks}
    assert len(slots) == 2 + 2 * len(pool.ticks) + len(words)


def test_without_a_local_evm_the_table_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(v3_quote, "peer_python", lambda: None)
    monkeypatch.setattr(v3_quote, "_REPEATS", 1)
    rows = v3_quote.lines()[3:6]
    assert [row.split("|")[1].strip() for row in rows] == ["0-0", "1-5", "6-20"]
    assert all("no local EVM" in row for row in rows)
