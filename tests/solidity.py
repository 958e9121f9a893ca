"""Compiles a contract for a test with the pinned compiler; nothing of it is kept."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from arbtui.devnet.artifacts import node_modules

ROOT = Path(__file__).parents[1]
_SCRIPT = """
const solc = require("solc");
process.stdout.write(solc.compile(require("fs").readFileSync(0, "utf8")));
"""


def compiled(sources: Mapping[str, str], name: str, *, runs: int = 200, via_ir: bool = True) -> bytes:
    """Creation code of contract `name` among `sources` (path -> text). Raises AssertionError with solc's complaints."""
    settings: dict[str, Any] = {
        "evmVersion": "cancun",
        "optimizer": {"enabled": True, "runs": runs},
        "viaIR": via_ir,
        "outputSelection": {"*": {"*": ["evm.bytecode.object"]}},
    }
    given = {
        "language": "Solidity",
        "sources": {path: {"content": text} for path, text in sources.items()},
        "settings": settings,
    }
    done = subprocess.run(
        ["node", "-e", _SCRIPT],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        check=True,
        cwd=node_modules().parent,
    )
    output = json.loads(done.stdout)
    errors = [item["formattedMessage"] for item in output.get("errors", []) if item["severity"] == "error"]
    assert not errors, errors
    for contracts in output["contracts"].values():
        if name in contracts:
            return bytes.fromhex(contracts[name]["evm"]["bytecode"]["object"])
    raise AssertionError(f"no contract {name}")


@lru_cache
def borrower() -> bytes:
    """Creation code of tests/data/Borrower.sol."""
    path = ROOT / "tests" / "data" / "Borrower.sol"
    return compiled({path.name: path.read_text("utf-8")}, "Borrower")
