"""The commands as a person or a program meets them, on a real local chain: shapes, exit codes, what is stored."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from arbtui.devnet import Devnet
from arbtui.store import StoreLock, open_store
from arbtui.units import parse_address
from tests.chain import Hand, in_hand, running_chain

pytestmark = pytest.mark.chain

HEX_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")
WHOLE = re.compile(r"-?(0|[1-9][0-9]*)")

# The keys other programs rely on: more may come, these stay.
QUOTE = {"token", "amount", "block", "quotes", "best"}
LENDER_QUOTE = {
    "lender", "protocol", "version", "usable", "reason", "detail", "available", "fee", "gas_overhead",
    "gas_overhead_source", "gas_cost", "total_cost",
}  # fmt: skip
TOKEN = {"address", "symbol", "decimals"}
SCAN = {"block", "pools", "tokens", "cycles", "elapsed_ms", "opportunities"}
ELAPSED = {"load", "index", "screen", "size", "total"}
OPPORTUNITY = {"id", "token", "amount_in", "amount_out", "gross_profit", "path"}
HOP = {"pool", "dex", "kind", "token_in", "token_out", "amount_in", "amount_out"}
EXECUTION = {
    "id", "ticket", "status", "lender", "tx_hashes", "expected_profit", "net_profit", "token", "gas_used",
    "reconciled",
}  # fmt: skip
REPORT = {
    "numeraire", "by_token", "executions", "success_rate", "avg_execution_time_s", "p50_execution_time_s",
    "p95_execution_time_s", "avg_profit", "net_profit", "gas_spent_wei", "gas_efficiency", "error_counts",
    "by_lender", "by_gas_strategy", "by_path", "unreconciled", "missed", "decisions",
}  # fmt: skip
DEVNET = {
    "rpc_url", "ws_url", "chain_id", "pid", "config", "accounts", "tokens", "pools", "lenders", "executor",
    "wallet", "treasury",
}  # fmt: skip
DEVNET_POOL = {"address", "dex", "kind", "token0", "token1", "fee_ppm"}
FOUR = {"aave_v2", "aave_v3", "balancer_v2", "maker"}


@pytest.fixture(scope="module")
def devnet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Devnet]:
    with running_chain(tmp_path_factory.mktemp("chain")) as chain:
        yield chain


@dataclass
class Ended:
    code: int
    out: str
    err: str

    def json(self) -> Any:
        """The object on standard output: one line, and nothing else."""
        assert self.out.endswith("\n"), self.err
        assert self.out.count("\n") == 1
        answer = json.loads(self.out)
        assert_checksummed(answer)
        return answer

    def line(self) -> str:
        assert self.err.startswith("error: "), self.err
        assert self.err.count("\n") == 1, self.err
        assert self.out == ""
        return self.err


def arbtui(*arguments: str | Path) -> Ended:
    ended = subprocess.run(
        [sys.executable, "-m", "arbtui", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
    )
    assert "Traceback" not in ended.stderr, ended.stderr[-1500:]
    return Ended(ended.returncode, ended.stdout, ended.stderr)


def config_file(devnet: Devnet, folder: Path, *swaps: tuple[str, str]) -> Path:
    """The chain's ready configuration with a store of the test's own, changed as asked."""
    text = Path(devnet.book.config).read_text("utf-8")
    text = re.sub(r"^directory = .*$", 'directory = "store"', text, flags=re.MULTILINE)
    for old, new in swaps:
        assert old in text, old
        text = text.replace(old, new)
    path = folder / "arbtui.toml"
    path.write_text(text, "utf-8")
    return path


def assert_checksummed(value: Any) -> None:
    if isinstance(value, dict):
        for key, item in value.items():
            assert_checksummed(key)
            assert_checksummed(item)
    elif isinstance(value, list):
        for item in value:
            assert_checksummed(item)
    elif isinstance(value, str) and HEX_ADDRESS.fullmatch(value):
        assert parse_address(value.lower()) == value


def assert_amounts(row: dict[str, Any], *names: str, null: bool = False) -> None:
    for name in names:
        if null and row[name] is None:
            continue
        assert isinstance(row[name], str), name
        assert WHOLE.fullmatch(row[name]), (name, row[name])


# ── quote ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_shape_of_a_quote(devnet: Devnet, tmp_path: Path) -> None:
    config = config_file(devnet, tmp_path)
    weth = devnet.book.token("WETH").address
    by_symbol = arbtui("quote", "weth", "12.5", "--json", "--config", config)
    by_address = arbtui("quote", weth.lower(), "12.5", "--json", "--config", config)
    answer = by_symbol.json()
    assert (by_symbol.code, by_symbol.err) == (0, "")
    assert (
        by_address.json()["token"] == answer["token"] == {"address": weth, "symbol": "WETH", "decimals": 18}
    )
    assert set(answer) >= QUOTE
    assert answer["amount"] == "12500000000000000000"
    assert type(answer["block"]) is int
    assert {quote["lender"] for quote in answer["quotes"]} >= FOUR
    for quote in answer["quotes"]:
        assert set(quote) >= LENDER_QUOTE
        assert_amounts(quote, "available", "fee", "gas_cost", "total_cost", null=True)
        assert type(quote["usable"]) is bool
        assert type(quote["gas_overhead"]) is int
        assert quote["gas_overhead_source"] in ("prior", "measured")
        assert (quote["reason"] is None) == quote["usable"]
        if quote["usable"]:
            assert int(quote["total_cost"]) == int(quote["fee"]) + int(quote["gas_cost"])
    usable = [quote for quote in answer["quotes"] if quote["usable"]]
    assert answer["best"] == min(usable, key=lambda quote: int(quote["total_cost"]))["lender"]


def test_a_quote_that_no_lender_can_give(devnet: Devnet, tmp_path: Path) -> None:
    config = config_file(devnet, tmp_path)
    ended = arbtui("quote", "WETH", "1000000000", "--json", "--config", config)
    answer = ended.json()
    assert ended.code == 1
    assert answer["best"] is None
    assert not any(quote["usable"] for quote in answer["quotes"])
    assert all(quote["reason"] and quote["detail"] for quote in answer["quotes"])
    plain = arbtui("quote", "WETH", "1000000000", "--config", config)
    assert plain.code == 1
    assert plain.err == "no lender can lend this\n"
    assert max(map(len, plain.out.splitlines()[:7])) <= 80


@pytest.mark.parametrize("amount", ["9" * 77, str(2**256)])
def test_a_quote_for_more_than_a_word_holds(devnet: Devnet, tmp_path: Path, amount: str) -> None:
    ended = arbtui("quote", "DAI", amount, "--config", config_file(devnet, tmp_path))
    assert ended.code == 2
    assert "amount" in ended.line()


# ── scan, doctor, devnet ────────────────────────────────────────────────────────────────────────────────────────


async def test_the_shape_of_a_scan(devnet: Devnet, tmp_path: Path) -> None:
    config = config_file(devnet, tmp_path)
    async with in_hand(devnet) as hand:
        await hand.align()
        await hand.dislocate("USDC/WETH", 20_000)
        ended = await asyncio.to_thread(arbtui, "scan", "--json", "--max-hops", "3", "--config", config)
        limited = await asyncio.to_thread(
            arbtui, "scan", "--json", "--base", "WETH", "--top", "1", "--config", config
        )
        plain = await asyncio.to_thread(arbtui, "scan", "--config", config)
    answer = ended.json()
    assert ended.code == 0
    assert set(answer) >= SCAN
    assert set(answer["elapsed_ms"]) >= ELAPSED
    for count in ("block", "pools", "tokens", "cycles"):
        assert type(answer[count]) is int
    assert (answer["pools"], answer["tokens"]) == (len(devnet.book.pools), len(devnet.book.tokens))
    assert answer["opportunities"]
    for found in answer["opportunities"]:
        assert set(found) >= OPPORTUNITY
        assert set(found["token"]) >= TOKEN
        assert_amounts(found, "amount_in", "amount_out", "gross_profit")
        assert int(found["gross_profit"]) == int(found["amount_out"]) - int(found["amount_in"]) > 0
        assert found["path"][0]["token_in"] == found["path"][-1]["token_out"] == found["token"]["address"]
        for hop in found["path"]:
            assert set(hop) >= HOP
            assert_amounts(hop, "amount_in", "amount_out")
    groups = [found["token"]["address"] for found in answer["opportunities"]]
    assert len(set(groups)) == sum(one != other for one, other in zip(groups, [None, *groups], strict=False))
    assert [found["token"]["symbol"] for found in limited.json()["opportunities"]] == ["WETH"]
    assert plain.code == 0
    assert max(map(len, plain.out.splitlines())) <= 80


def test_the_doctor_of_a_healthy_chain(devnet: Devnet, tmp_path: Path) -> None:
    ended = arbtui("doctor", "--json", "--config", config_file(devnet, tmp_path))
    answer = ended.json()
    assert (ended.code, answer["ok"]) == (0, True)
    assert all(set(check) >= {"check", "ok", "detail"} and check["ok"] is True for check in answer["checks"])
    names = {check["check"] for check in answer["checks"]}
    assert {
        "node",
        "wallet.executor",
        "Executor.operator",
        "Executor.treasury",
        "gas money",
        "store",
    } <= names
    assert {f"lenders.{name}.address" for name in FOUR} <= names


def test_the_doctor_leaves_no_store_behind(devnet: Devnet, tmp_path: Path) -> None:
    arbtui("doctor", "--config", config_file(devnet, tmp_path))
    assert not (tmp_path / "store").exists()


def test_the_shape_of_the_address_book(devnet: Devnet) -> None:
    """What `devnet up --json` prints; `status` adds to it."""
    book = json.loads(json.dumps(devnet.book.to_json()))
    assert_checksummed(book)
    assert set(book) >= DEVNET
    assert set(book["lenders"]) == FOUR
    assert all(set(pool) >= DEVNET_POOL for pool in book["pools"])
    assert all(set(token) == {"address", "decimals"} for token in book["tokens"].values())
    # This chain was opened by the test, not by `devnet up`.
    status = arbtui("devnet", "status", "--json")
    assert (status.code, json.loads(status.out)) == (0, {"running": False})


EOA = "0x1111111111111111111111111111111111111111"


@pytest.mark.parametrize("key", ["executor", "lender", "pool", "operator", "treasury", "money"])
def test_an_address_behind_which_there_is_not_what_there_should_be(
    devnet: Devnet, tmp_path: Path, key: str
) -> None:
    book = devnet.book
    swap, named = {
        "executor": ((f'executor = "{book.executor}"', f'executor = "{EOA}"'), "wallet.executor"),
        "lender": ((book.lenders["aave_v3"], EOA), "lenders.aave_v3.address"),
        "pool": ((f'address = "{book.pools[0].address}"', f'address = "{EOA}"'), "pools uniswap"),
        "operator": ((f'address = "{book.wallet}"', f'address = "{book.accounts[0]}"'), "Executor.operator"),
        "treasury": ((f'treasury = "{book.treasury}"', f'treasury = "{EOA}"'), "Executor.treasury"),
        "money": ((f'address = "{book.wallet}"', f'address = "{EOA}"'), "gas money"),
    }[key]
    config = config_file(devnet, tmp_path, swap)
    ended = arbtui("doctor", "--json", "--config", config)
    assert ended.code == 3
    bad = {check["check"]: check["detail"] for check in ended.json()["checks"] if not check["ok"]}
    (detail,) = [detail for check, detail in bad.items() if check.startswith(named)]
    if key in ("operator", "treasury"):
        assert "but wallet." in detail
    ended = arbtui("run", "--headless", "--for", "1", "--config", config)
    assert ended.code == 3
    assert named in ended.line()
    assert not list((tmp_path / "store").glob("*.sqlite"))


def test_a_lender_that_is_another_contract(devnet: Devnet, tmp_path: Path) -> None:
    """There is code at the address, and it is not a lending pool's: found before a run writes anything."""
    swap = (devnet.book.lenders["aave_v3"], devnet.book.token("DAI").address)
    text = Path(devnet.book.config).read_text("utf-8")
    assert text.count(swap[0]) == 1
    ended = arbtui("run", "--headless", "--for", "1", "--config", config_file(devnet, tmp_path, swap))
    assert ended.code == 3
    assert "lenders.aave_v3: Pool.getReserveData on" in ended.line()


def test_a_preset_on_a_chain_that_is_not_it(devnet: Devnet, tmp_path: Path) -> None:
    swap = ('name = "local"', 'preset = "ethereum"\nname = "local"')
    config = config_file(devnet, tmp_path, swap)
    ended = arbtui("doctor", "--json", "--config", config)
    assert ended.code == 3
    bad = {check["check"] for check in ended.json()["checks"] if not check["ok"]}
    assert {
        "lenders.spark.registry",
        "lenders.morpho.address",
        "factories uniswap uniswap_v2",
        "factories sushiswap uniswap_v3",
        "tokens wstETH",
    } <= bad
    ended = arbtui("run", "--headless", "--for", "1", "--config", config)
    assert ended.code == 3
    assert "factories uniswap uniswap_v3" in ended.line()
    assert not list((tmp_path / "store").glob("*.sqlite"))


def test_a_contract_that_is_not_the_executor(devnet: Devnet, tmp_path: Path) -> None:
    swap = (f'executor = "{devnet.book.executor}"', f'executor = "{devnet.book.token("DAI").address}"')
    ended = arbtui("run", "--headless", "--for", "1", "--config", config_file(devnet, tmp_path, swap))
    assert ended.code == 3
    assert "is not the executor contract" in ended.line()


# ── run ─────────────────────────────────────────────────────────────────────────────────────────────────────────


async def run_on_blocks(hand: Hand, config: Path, *options: str, seconds: str = "5") -> Ended:
    """`arbtui run --headless` while a block comes each second."""
    await hand.align()
    await hand.dislocate("DAI/WETH", 15_000)
    await hand.rpc.call("evm_setIntervalMining", [1])
    try:
        return await asyncio.to_thread(
            arbtui, "run", "--headless", "--for", seconds, "--config", config, "--json", *options
        )
    finally:
        await hand.rpc.call("evm_setIntervalMining", [0])


def report_line(ended: Ended) -> dict[str, Any]:
    answer: dict[str, Any] = ended.json()
    assert set(answer) >= REPORT
    assert set(answer["numeraire"]) == {"symbol", "decimals"}
    assert_amounts(answer, "net_profit", "gas_spent_wei")
    assert_amounts(answer, "avg_profit", null=True)
    return answer


async def test_observing_executes_nothing(devnet: Devnet, tmp_path: Path) -> None:
    config = config_file(devnet, tmp_path)
    async with in_hand(devnet) as hand:
        before = await hand.node.nonce(devnet.book.wallet, "pending")
        ended = await run_on_blocks(hand, config, "--stage", "observe", seconds="3")
        assert await hand.node.nonce(devnet.book.wallet, "pending") == before
    assert ended.code == 0
    answer = report_line(ended)
    assert (answer["executions"], answer["net_profit"], answer["by_lender"]) == (0, "0", {})
    with open_store(tmp_path / "store", "paper") as reader:
        assert reader.tickets()
        assert reader.executions() == []
        assert reader.query("SELECT count(*) AS n FROM attempt")[0]["n"] == 0
        (run,) = reader.runs()
        assert (run["stage"], run["approve"]) == ("observe", "none")
        assert run["ended_at"]
    assert not (tmp_path / "store" / "live.sqlite").exists()


async def test_paper_decides_for_real_and_sends_nothing(devnet: Devnet, tmp_path: Path) -> None:
    config = config_file(devnet, tmp_path)
    async with in_hand(devnet) as hand:
        before = await hand.node.nonce(devnet.book.wallet, "pending")
        money = await hand.node.balance(devnet.book.wallet)
        ended = await run_on_blocks(hand, config, "--stage", "paper", "--approve", "all", seconds="4")
        assert await hand.node.nonce(devnet.book.wallet, "pending") == before
        assert await hand.node.balance(devnet.book.wallet) == money
    assert ended.code == 0
    answer = report_line(ended)
    assert (answer["net_profit"], answer["gas_spent_wei"], answer["unreconciled"]) == ("0", "0", 0)
    assert answer["decisions"]["approved_by_all"] >= 1
    rows = arbtui("executions", "--json", "--family", "paper", "--config", config).json()["executions"]
    assert rows
    for row in rows:
        assert (row["status"], row["tx_hashes"], row["net_profit"]) == ("paper", [], None)
        assert int(row["expected_profit"]) > 0
        assert row["reconciled"] is False
    live = arbtui("executions", "--config", config)
    assert live.code == 3
    live.line()


async def test_live_settles_and_every_listing_has_its_shape(devnet: Devnet, tmp_path: Path) -> None:
    config = config_file(devnet, tmp_path)
    async with in_hand(devnet) as hand:
        before = await hand.node.nonce(devnet.book.wallet)
        ended = await run_on_blocks(hand, config, "--stage", "live", "--approve", "all", seconds="6")
        sent = await hand.node.nonce(devnet.book.wallet) - before
    assert ended.code == 0
    answer = report_line(ended)
    assert (answer["executions"], answer["unreconciled"]) == (sent, 0)
    assert sent >= 1
    assert all(figures["executions"] for figures in answer["by_lender"].values())
    for entry in answer["by_token"].values():
        assert set(entry) >= {"address", "decimals", "delta"}
        assert_amounts(entry, "delta")
    assert "ETH" in answer["by_token"]
    executions = arbtui("executions", "--json", "--config", config).json()
    assert set(executions) == {"executions"}
    assert len(executions["executions"]) == sent
    for row in executions["executions"]:
        assert set(row) >= EXECUTION
        assert set(row["token"]) >= TOKEN
        assert_amounts(row, "expected_profit", "net_profit")
        assert type(row["gas_used"]) is int
        assert row["reconciled"] is True
        assert all(re.fullmatch(r"0x[0-9a-f]{64}", tx) for tx in row["tx_hashes"])
        assert row["tx_hashes"]
    tickets = arbtui("tickets", "--json", "--config", config).json()
    assert set(tickets) == {"tickets"}
    assert {row["ticket"] for row in executions["executions"]} <= {row["id"] for row in tickets["tickets"]}
    whole = arbtui("report", "--json", "--config", config).json()
    assert set(whole) >= REPORT
    assert whole["net_profit"] == answer["net_profit"]
    assert sum(int(row["net_profit"]) for row in executions["executions"]) == int(whole["net_profit"])
    nothing = arbtui("report", "--json", "--since", "2999-01-01", "--config", config).json()
    assert (nothing["executions"], nothing["avg_profit"], nothing["success_rate"]) == (0, None, None)
    ledger = tmp_path / "ledger.csv"
    assert arbtui("report", "--csv", ledger, "--config", config).code == 0
    assert len(ledger.read_text().splitlines()) == sent + 1
    for command in ("executions", "tickets", "report"):
        plain = arbtui(command, "--config", config)
        assert plain.code == 0
        assert max(len(line) for line in plain.out.splitlines() if ":" not in line) <= 80


def test_a_second_engine_is_refused(devnet: Devnet, tmp_path: Path) -> None:
    config = config_file(devnet, tmp_path)
    with StoreLock(tmp_path / "store"):
        ended = arbtui("run", "--headless", "--for", "1", "--config", config)
    assert ended.code == 3
    assert f"another engine (pid {os.getpid()}) holds {tmp_path / 'store'}" in ended.line()
    assert not list((tmp_path / "store").glob("*.sqlite"))


def test_a_broken_store_is_refused_and_left_alone(devnet: Devnet, tmp_path: Path) -> None:
    config = config_file(devnet, tmp_path)
    for name in ("paper.sqlite", "journal.sqlite"):
        (tmp_path / "store").mkdir(exist_ok=True)
        broken = tmp_path / "store" / name
        broken.write_bytes(b"not a database at all " * 100)
        ended = arbtui("run", "--headless", "--for", "1", "--config", config)
        assert ended.code == 3
        assert str(broken) in ended.line()
        assert broken.read_bytes() == b"not a database at all " * 100
        broken.unlink()


@pytest.mark.parametrize("signals", [1, 2])
async def test_an_interrupted_run_ends_without_a_traceback(
    devnet: Devnet, tmp_path: Path, signals: int
) -> None:
    """Once: it drains and reports. Twice: at once."""
    config = config_file(devnet, tmp_path)
    process = await asyncio.create_subprocess_exec(
        *(
            sys.executable,
            "-m",
            "arbtui",
            "run",
            "--headless",
            "--for",
            "60",
            "--json",
            "--config",
            str(config),
        ),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stderr is not None
        assert b"stage observe" in await asyncio.wait_for(process.stderr.readline(), 20)
        # Both before the loop wakes up again, as an impatient hand would.
        for _ in range(signals):
            process.send_signal(2)
            await asyncio.sleep(0.002)
        out, err = await asyncio.wait_for(process.communicate(), 20)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert b"Traceback" not in err
    if signals == 1:
        assert process.returncode == 0
        assert set(json.loads(out)) >= REPORT
    else:
        assert process.returncode in (0, 1, 130)
