"""What each requirement of the executor costs: gas with it less gas without it, on the bench's WETH route.

`python -m tests.bench.prices`. Each variant is the committed source with one thing taken out, compiled as the artifact
is. None of them is ever committed or deployed anywhere but on this bench's own local chains.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from arbtui.devnet import artifacts
from arbtui.domain import LenderId
from tests.bench.gas import ROUTES, Route, measure

ROOT = Path(__file__).parents[2]
EXECUTOR = "src/Executor.sol"
LENDERS = (LenderId.OWN, LenderId.BALANCER_V2, LenderId.AAVE_V3)


@dataclass(frozen=True, slots=True)
class Without:
    """`cuts` are pieces of the source and what takes their place."""

    name: str
    cuts: tuple[tuple[str, str], ...]


VARIANTS = (
    Without("R1 operator", (("        if (msg.sender != operator) revert NotOperator(msg.sender);\n", ""),)),
    Without(
        "R14 pause, in the word that is read anyway",
        (("        if (state & PAUSED != 0) revert ExecutionPaused(msg.sender);\n", ""),),
    ),
    Without(
        "R6 lock",
        (
            (
                "        if (_tload(RUN_OPEN) != 0) revert RunOpen(msg.sender);\n        _tstore(RUN_OPEN, 1);\n",
                "",
            ),
            ("        _tstore(RUN_OPEN, 0);\n", ""),
        ),
    ),
    Without(
        "R13 last block",
        (("        if (block.number > lastBlock) revert DeadlinePassed(lastBlock, block.number);\n", ""),),
    ),
    Without(
        "R13 ticket, and with it the write of the state's word", (("        _use(state, ticket);\n", ""),)
    ),
    Without(
        "lender's switch",
        (("        if (state & (1 << LENDERS_AT) << lender == 0) revert LenderOff(lender);\n", ""),),
    ),
    Without(
        "R11 floor of the asset",
        (
            ("        if (floor == 0) revert AssetOff(token);\n", ""),
            (
                "        if (_minProfit(plan) < floor) revert BelowFloor(token, _minProfit(plan), floor);\n",
                "",
            ),
        ),
    ),
    Without(
        "R11 balance of the asset before and after",
        (
            ("        uint256 before = token.held();\n", "        uint256 before = amountIn;\n"),
            (
                "        uint256 current = token.held();\n"
                "        if (current < before) revert BalanceFell(token, before, current);\n"
                "        _tstore",
                "        _tstore",
            ),
        ),
    ),
    Without("R12 treasury", (("        token.send(treasury, profit);\n", ""),)),
    Without("event", (("        emit Executed(uint64(_word(plan, 0) >> 192), fee, profit);\n", ""),)),
    Without(
        "R3, R4 context of the callback",
        (
            ("        _tstore(AWAITED, _context(kind, from, plan));\n", ""),
            ("        if (_tload(AWAITED) != 0) revert NoCallback(from);\n", ""),
            (
                "        if (awaited != brought) revert UnexpectedCallback("
                "msg.sender, kind, bytes32(awaited), bytes32(brought));\n"
                "        _tstore(AWAITED, 0);\n",
                "",
            ),
        ),
    ),
    Without("R9 allowance read back", (("        if (kind != BALANCER_V2) _revoke(token, from);\n", ""),)),
    Without(
        "hop by hop: the pool is not the lender",
        (("                if (address(uint160(pool)) == lender) revert LenderInPath(lender);\n", ""),),
    ),
)


def _compile(sources: dict[str, str]) -> dict[str, str]:
    script = str(ROOT / "tests" / "contracts" / "compile_mutants.mjs")
    done = subprocess.run(
        ["node", script],
        input=json.dumps(sources) + "\n",
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    answer: dict[str, str] = json.loads(done.stdout)
    if "error" in answer:
        raise SystemExit(answer["error"])
    return answer


def _gas(folder: Path, route: Route) -> dict[LenderId, int]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(artifacts, "_our_folder", lambda: folder)
        return {row.lender: row.gas for row in measure([route])}


def prices() -> Iterator[str]:
    """A Markdown table, line by line."""
    contracts = ROOT / "contracts"
    sources = {
        path.relative_to(contracts).as_posix(): path.read_text("utf-8")
        for path in (contracts / "src").rglob("*.sol")
        if "devnet" not in path.parts
    }
    (first, *_) = [route for route in ROUTES if route.asset == "WETH"]
    route = Route(first.name, first.asset, first.amount, first.steps, LENDERS)
    with tempfile.TemporaryDirectory(prefix="arbtui-prices-") as name:
        folder = Path(name) / "artifacts"
        shutil.copytree(contracts / "artifacts", folder)
        whole = _gas(folder, route)
        yield "| without | " + " | ".join(LENDERS) + " |"
        yield "|---|" + "---:|" * len(LENDERS)
        yield "| (everything on) | " + " | ".join(f"{whole[lender]:,}" for lender in LENDERS) + " |"
        for variant in VARIANTS:
            text = sources[EXECUTOR]
            for cut, put in variant.cuts:
                if text.count(cut) != 1:
                    raise SystemExit(
                        f"{variant.name}: its piece stands {text.count(cut)} times in {EXECUTOR}: {cut}"
                    )
                text = text.replace(cut, put)
            (folder / "Executor.json").write_text(json.dumps(_compile(sources | {EXECUTOR: text})), "utf-8")
            found = _gas(folder, route)
            yield f"| {variant.name} | " + " | ".join(f"{found[x] - whole[x]:+,}" for x in LENDERS) + " |"


if __name__ == "__main__":
    for line in prices():
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
