"""The committed artifacts are what the sources compile to, and a changed source is noticed."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.forge

ROOT = Path(__file__).parents[2]
CONTRACTS = ROOT / "contracts"


def check(contracts: Path) -> subprocess.CompletedProcess[str]:
    script = str(contracts / "compile.mjs")
    return subprocess.run(
        ["node", script, "--check"], capture_output=True, text=True, timeout=100, check=False
    )


def test_the_artifacts_are_what_the_sources_give() -> None:
    done = check(CONTRACTS)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_one_changed_byte_names_its_contract_and_no_other(tmp_path: Path) -> None:
    copy = tmp_path / "contracts"
    shutil.copytree(CONTRACTS, copy, ignore=shutil.ignore_patterns("out", "cache", "test", "canary"))
    (tmp_path / "node_modules").symlink_to(ROOT / "node_modules")
    source = copy / "src" / "devnet" / "DssFlashStandIn.sol"
    text = source.read_bytes()
    at = text.index(b"A stand-in")
    source.write_bytes(text[:at] + b"a" + text[at + 1 :])
    done = check(copy)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "DssFlashStandIn: the artifact differs from its source",
        "run: node contracts/compile.mjs",
    ]


def test_every_contract_has_an_artifact_that_says_what_it_was_built_from() -> None:
    declared = {
        name: path.relative_to(CONTRACTS).as_posix()
        for path in (CONTRACTS / "src").rglob("*.sol")
        for name in re.findall(r"^contract (\w+)", path.read_text("utf-8"), re.MULTILINE)
    }
    assert {"Executor", "DevTrader", "DevToken", "NoReturnToken", "DssFlashStandIn"} <= set(declared)
    artifacts = [json.loads(path.read_text("utf-8")) for path in (CONTRACTS / "artifacts").glob("*.json")]
    assert {item["contractName"]: item["sourceName"] for item in artifacts} == declared
    for item in artifacts:
        assert re.fullmatch("[0-9a-f]{64}", item["sourceHash"]), item["contractName"]
        assert item["compiler"].startswith("0.8.37+")
        assert re.fullmatch("0x([0-9a-f]{2})+", item["bytecode"]), item["contractName"]
        assert re.fullmatch("0x([0-9a-f]{2})+", item["deployedBytecode"]), item["contractName"]
    assert len({item["sourceHash"] for item in artifacts}) == len(artifacts)
