"""A live engine over two nodes, of which the first dies: the second is all there is, and may or may not be enough."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from pydantic import SecretStr

from arbtui.config import Config
from arbtui.devnet import Devnet
from arbtui.store import open_store
from tests.chain import config_for, in_hand, running_chain, trade_until
from tests.feeds import Wire, wire

pytestmark = pytest.mark.chain


@pytest.fixture(scope="module")
def devnet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Devnet]:
    with running_chain(tmp_path_factory.mktemp("chain")) as chain:
        yield chain


def url_of(cable: Wire) -> SecretStr:
    return SecretStr(f"http://127.0.0.1:{cable.port}")


def over(config: Config, first: Wire, second: Wire, agree_least: int | None) -> Config:
    chain = config.chain.model_copy(
        update={
            "rpc_url": url_of(first),
            "fallback_urls": (url_of(second),),
            "push_url": None,
            "agree_least": agree_least,
        }
    )
    return config.model_copy(update={"chain": chain})


async def test_the_engine_trades_on_over_the_second_node(devnet: Devnet, tmp_path: Path) -> None:
    port = urlsplit(devnet.rpc_url).port
    assert port is not None
    config = config_for(devnet, tmp_path / "store")
    async with in_hand(devnet) as hand, wire(port) as first, wire(port) as second:
        await hand.align()

        async def between(block: int) -> None:
            if block == 1:
                first.refusing = True
                first.cut()
            if block == 3:
                await hand.dislocate("DAI/WETH", 20_000, mine=False)

        tally = await trade_until(
            hand,
            over(config, first, second, agree_least=1),
            lambda seen: seen.confirmed >= 1,
            between=between,
        )
        assert tally.confirmed >= 1
        assert tally.unreconciled == 0
        assert second.accepted > 0
    with open_store(config.store.directory) as reader:
        rows = reader.executions()
        nodes = {row["name"][:6]: row for row in reader.nodes()}
        told = [row["detail"] for row in reader.incidents() if row["kind"] == "node"]
    assert (nodes["node 1"]["state"], nodes["node 2"]["state"]) == ("down", "ok")
    assert nodes["node 1"]["failures"] > 0
    assert nodes["node 2"]["calls"] > 0
    assert any("node 1" in detail and "is down" in detail for detail in told)
    assert {(row["status"], row["reconciled"]) for row in rows} == {("mined", True)}


async def test_while_one_of_two_is_silent_it_reads_on_and_sends_nothing(
    devnet: Devnet, tmp_path: Path
) -> None:
    port = urlsplit(devnet.rpc_url).port
    assert port is not None
    config = config_for(devnet, tmp_path / "store")
    async with in_hand(devnet) as hand, wire(port) as first, wire(port) as second:
        await hand.align()
        nonces: list[int] = []

        async def between(block: int) -> None:
            if block == 1:
                second.refusing = True
                second.cut()
            if block == 3:
                await hand.dislocate("DAI/WETH", 20_000, mine=False)
            if block == 12:
                nonces.append(await hand.node.nonce(config.wallet.address, "pending"))
                second.refusing = False

        before = await hand.node.nonce(config.wallet.address)
        tally = await trade_until(
            hand,
            over(config, first, second, agree_least=None),
            lambda seen: seen.confirmed >= 1,
            seconds=45,
            between=between,
        )
        assert nonces == [before], "nothing was handed over on one node's word"
        assert tally.confirmed >= 1, "with both of them it trades"
        assert tally.unreconciled == 0
    with open_store(config.store.directory) as reader:
        told = [row["detail"] for row in reader.incidents() if row["kind"] == "disagree"]
        stale = [row["reason"] for row in reader.query("SELECT reason FROM decision WHERE kind = 'stale'")]
    assert len(told) == 1, "once, not with every block"
    assert "only node 1 (127.0.0.1) of 2 nodes answered, 2 have to agree" in told[0]
    assert "node 2 (127.0.0.1): " in told[0]
    assert len(stale) >= 3
    assert all(reason.startswith("agreement failed: 1 nodes that agree, limit 2") for reason in stale)
