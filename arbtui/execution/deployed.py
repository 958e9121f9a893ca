"""Whether what is deployed is the executor of this version (requirement R19)."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

_PACKAGED = Path(__file__).parents[1] / "_contracts"
_CHECKOUT = Path(__file__).parents[2] / "contracts" / "artifacts"


def contracts_folder() -> Path:
    """Where the compiled contracts of this version are: in the package, or in a checkout beside it."""
    return _PACKAGED if _PACKAGED.is_dir() else _CHECKOUT


@cache
def _executor() -> tuple[bytes, tuple[tuple[int, int], ...], str]:
    artifact = json.loads((contracts_folder() / "Executor.json").read_text("utf-8"))
    code = bytes.fromhex(artifact["deployedBytecode"][2:])
    return code, tuple((start, length) for start, length in artifact["immutables"]), artifact["sourceHash"]


def strange_code(code: bytes) -> str:
    """How deployed `code` differs from the compiled executor beside its immutables; empty where it does not.

    Immutables (owner, operator, treasury, lenders, exchanges) are a deployment's own; the program reads those back.
    """
    ours, immutables, source_hash = _executor()
    version = f"the executor contract of this version (source {source_hash[:12]})"
    if len(code) != len(ours):
        return f"is not {version}: {len(code)} bytes of code, not {len(ours)}"
    there = bytearray(code)
    for start, length in immutables:
        there[start : start + length] = ours[start : start + length]
    wrong = sum(one != other for one, other in zip(there, ours, strict=True))
    return f"is not {version}: {wrong} bytes of code differ" if wrong else ""
