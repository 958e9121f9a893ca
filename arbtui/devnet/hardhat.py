"""hardhat's node beside anvil: a second real pool, with the 10 % rule and other words. For tests and drills.

It is EDR, the engine of hardhat's network, from npm (MIT), behind a few lines of HTTP (`edr_node.cjs`).
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from arbtui.devnet.anvil import BLOCK_GAS_LIMIT, CHAIN_ID
from arbtui.devnet.artifacts import node_modules
from arbtui.errors import DevnetError
from arbtui.text import safe_text

_SERVER = Path(__file__).with_name("edr_node.cjs")
_LISTENING = re.compile(rb"Listening on 127\.0\.0\.1:(\d+)")
_START_S = 20.0


def find_hardhat() -> Path:
    """The native module that npm installed. Raises DevnetError."""
    module = node_modules() / "@nomicfoundation" / "edr-linux-x64-gnu"
    if not module.is_dir():
        raise DevnetError(f"{module}: hardhat's node is not there; run `make setup` (Linux x86-64 only)")
    return module


@asynccontextmanager
async def hardhat_node(
    funded: Sequence[str], chain_id: int = CHAIN_ID, gas_limit: int = BLOCK_GAS_LIMIT
) -> AsyncIterator[str]:
    """The URL of a started node on loopback that mines when `evm_mine` says so; it ends with the context.

    `funded` hold 10,000 coins each. Raises DevnetError where it does not come up.
    """
    node = shutil.which("node")
    if node is None:
        raise DevnetError("node: not on PATH; hardhat's node needs Node.js 20 or newer")
    arguments = [str(_SERVER), str(find_hardhat()), str(chain_id), str(gas_limit), *funded]
    process = await asyncio.create_subprocess_exec(
        node,
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield f"http://127.0.0.1:{await _port(process)}"
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
        await process.communicate()


async def _port(process: asyncio.subprocess.Process) -> int:
    assert process.stdout is not None  # noqa: S101 - piped above
    assert process.stderr is not None  # noqa: S101
    try:
        line = await asyncio.wait_for(process.stdout.readline(), _START_S)
    except TimeoutError as error:
        raise DevnetError(f"hardhat's node said no port in {_START_S:g} s") from error
    match = _LISTENING.search(line)
    if match is None:
        told = (await process.stderr.read(4_000)).decode("utf-8", "replace")
        raise DevnetError(f"hardhat's node did not start: {safe_text(' '.join(told.split()), 200)}")
    return int(match[1])
