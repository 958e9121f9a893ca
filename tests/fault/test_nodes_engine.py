"""A live engine over two nodes, of which the first dies and the second is all there is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from pydantic import SecretStr

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


async def test_the_engine_trades_on_over_the_second_node(devnet: Devnet, tmp_path: Path) -> None:
    port = urlsplit(devnet.rpc_url).port
    assert port is not None
    config = config_for(devnet, tmp_path / "store")
    async with in_hand(devnet) as hand, wire(port) as first, wire(port) as second:
        chain = config.chain.model_copy(update={"rpc_url": url_of(first), "fallback_urls": (url_of(second),)})
        await hand.align()

        async def between(block: int) -> None:
            if block == 1:
                first.refusing = True
                first.cut()
            if block == 3:
                await hand.dislocate("DAI/WETH", 20_000, mine=False)

        tally = await trade_until(
            hand,
            config.model_copy(update={"chain": chain}),
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
