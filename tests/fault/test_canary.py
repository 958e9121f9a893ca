"""A key in the address of a node: after all that can go wrong it is in no file, line, traceback or screen."""

from __future__ import annotations

import asyncio
import base64
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from arbtui.devnet import Devnet
from arbtui.devnet.faults import (
    FaultProxy,
    accept_then_drop,
    fault_proxy,
    html,
    http,
    null,
    refuse,
    wrong_hash,
)
from tests.chain import Hand, config_for, in_hand, running_chain

pytestmark = pytest.mark.chain

CANARY = "cAnArY0f4Token9beef"
#: As it stands, and as it would stand in hex, base64 at any offset, reversed or escaped.
ENCODINGS = [
    CANARY.encode(),
    CANARY.lower().encode(),
    CANARY.encode().hex().encode(),
    CANARY[::-1].encode(),
    CANARY.encode("utf-16-le"),
    *(base64.b64encode(b"x" * shift + CANARY.encode())[4:20] for shift in range(3)),
]
SEND = "eth_sendRawTransaction"


@pytest.fixture(scope="module")
def devnet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Devnet]:
    with running_chain(tmp_path_factory.mktemp("chain")) as chain:
        yield chain


def misbehave(proxy: FaultProxy, url: str) -> None:
    """Each fault once or twice, some of them telling the address in their text."""
    proxy.inject(refuse(-32000, f"upstream {url} is overloaded"), SEND, times=1)
    proxy.inject(accept_then_drop, SEND, times=1)
    proxy.inject(wrong_hash, SEND, times=1)
    proxy.inject(html, "eth_feeHistory", times=1, skip=2)
    proxy.inject(http(502, f"<html>{url}</html>"), "eth_getTransactionCount", times=1, skip=2)
    proxy.inject(http(401, f'{{"error":"bad key {CANARY}"}}'), "eth_getLogs", times=1, skip=2)
    proxy.inject(null, "eth_getBlockByHash", times=1, skip=2)


async def said(hand: Hand, proxy: FaultProxy, config: Path, *command: str) -> bytes:
    """All that a command writes, with the most talkative log, while blocks come and connections break."""
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "arbtui", "-vv", *command, "--config", str(config)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    talk = asyncio.ensure_future(child.communicate())
    while not talk.done():
        await asyncio.wait([talk], timeout=0.3)
        await hand.mine()
        await proxy.cut_websockets()
    return talk.result()[0]


async def test_the_key_of_a_node_is_nowhere(devnet: Devnet, tmp_path: Path) -> None:
    config_for(devnet, tmp_path / "store")
    path = tmp_path / "store.toml"
    async with in_hand(devnet) as hand, fault_proxy(devnet.rpc_url) as proxy:
        url = f"{proxy.url}/v3/{CANARY}?key={CANARY}"
        bell = f"{proxy.ws_url}/ws/{CANARY}?key={CANARY}"
        text = path.read_text("utf-8").replace(devnet.rpc_url, url).replace(devnet.book.ws_url, bell)
        path.write_text(text, "utf-8")
        assert (text.count(url), text.count(bell)) == (1, 1)
        await hand.align()
        await hand.dislocate("DAI/WETH", 30_000)
        misbehave(proxy, url)
        run = ("run", "--headless", "--stage", "live", "--approve", "all", "--for", "6")
        outputs = [await said(hand, proxy, path, *run)]
        assert proxy.count(SEND) > 0, outputs[0].decode()
        assert b"eth_sendRawTransaction" in outputs[0]
        assert b"polling goes on" in outputs[0], "the websocket rang, and was cut"
        commands = (["recover"], ["executions", "--json"], ["report"], ["doctor"], ["config", "show"])
        outputs += [await said(hand, proxy, path, *command) for command in commands]
        proxy.inject(http(503, f"<html>{url}</html>"))
        outputs.append(await said(hand, proxy, path, "doctor"))
        outputs.append(await said(hand, proxy, path, "recover"))
    files = [file for file in sorted(tmp_path.rglob("*")) if file.is_file() and file != path]  # noqa: ASYNC240
    assert {"journal.sqlite", "live.sqlite"} <= {file.name for file in files}
    for encoding in ENCODINGS:
        assert not [file for file in files if encoding in file.read_bytes()]
        assert not [line for output in outputs for line in output.splitlines() if encoding in line]
