"""Every refusal of the command line: one line on standard error, the right exit code, never a traceback."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from arbtui import __version__
from arbtui.chain import JsonRpc, Node
from arbtui.cli import main
from arbtui.domain import BlockRef, Stage
from arbtui.errors import MalformedAnswer
from arbtui.store import Store, utc_now
from arbtui.store.database import RunInfo
from arbtui.units import Wei, parse_address
from tests.fake_node import FakeNode, Fault, fake_node

WETH, USDC, EURC = (str(parse_address(f"0x{tail:0>40}")) for tail in ("aaa", "bbb", "ccc"))
WALLET = str(parse_address("0x" + "01" * 20))
MARKET = Path(__file__).parents[1] / "data" / "market_small.jsonl"
LOCAL = 31_337

HOLD = """
import sys
from pathlib import Path
from arbtui.store.lock import StoreLock
lock = StoreLock(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


def dead_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def write_config(path: Path, url: str, chain_id: int = LOCAL, third_symbol: str = "EURC") -> Path:
    tokens = [(WETH, "WETH", 18), (USDC, "USDC", 6), (EURC, third_symbol, 6)]
    listed = "".join(f'[[tokens]]\naddress = "{a}"\nsymbol = "{s}"\ndecimals = {d}\n' for a, s, d in tokens)
    path.write_text(
        f'[chain]\nname = "test"\nchain_id = {chain_id}\nrpc_url = "{url}/secret-key"\nwrapped_native = "{WETH}"\n'
        f'timeout_s = 2\n[wallet]\naddress = "{WALLET}"\nexecutor = "{WALLET}"\ntreasury = "{WALLET}"\n'
        f'[store]\ndirectory = "store"\n[search]\nbase_tokens = ["WETH"]\n{listed}',
        "utf-8",
    )
    return path


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("XDG_CONFIG_HOME", "XDG_STATE_HOME", "ARBTUI_STATE", "ARBTUI_CACHE"):
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.delenv("ARBTUI_CONFIG", raising=False)


@dataclass
class Ended:
    code: Any
    out: str
    err: str

    def line(self) -> str:
        """The one line of a refusal."""
        assert self.err.startswith("error: "), self.err
        assert self.err.count("\n") == 1, self.err
        assert "secret-key" not in self.err + self.out
        assert self.out == ""
        return self.err.removeprefix("error: ").rstrip("\n")


Arbtui = Callable[..., Ended]


@pytest.fixture
def arbtui(capsys: pytest.CaptureFixture[str]) -> Arbtui:
    def run(*arguments: str | Path) -> Ended:
        with pytest.raises(SystemExit) as stop:
            main([str(argument) for argument in arguments])
        shown = capsys.readouterr()
        assert "Traceback" not in shown.err
        return Ended(stop.value.code, shown.out, shown.err)

    return run


def run_process(*arguments: str) -> Ended:
    ended = subprocess.run(
        [sys.executable, "-m", "arbtui", *arguments], capture_output=True, text=True, timeout=60
    )
    assert "Traceback" not in ended.stderr, ended.stderr[-500:]
    return Ended(ended.returncode, ended.stdout, ended.stderr)


@pytest.fixture
def node() -> Iterator[FakeNode]:
    """A node in a thread of its own: the commands bring their own event loop."""
    ready, loop = threading.Event(), asyncio.new_event_loop()
    held: dict[str, Any] = {}

    async def serve() -> None:
        async with fake_node() as fake:
            held["node"], held["stop"] = fake, asyncio.Event()
            ready.set()
            await held["stop"].wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    assert ready.wait(10)
    fake: FakeNode = held["node"]
    fake.answers |= {
        "eth_chainId": lambda _: hex(LOCAL),
        "anvil_getAutomine": lambda _: False,
        "eth_getBlockByNumber": lambda _: block_json(),
        "eth_getCode": lambda _: "0x",
        "eth_getBalance": lambda _: "0x0",
    }
    yield fake
    loop.call_soon_threadsafe(held["stop"].set)
    thread.join(10)
    loop.close()


def block_json(number: int = 5) -> dict[str, Any]:
    return {
        "number": hex(number), "hash": "0x" + "11" * 32, "parentHash": "0x" + "22" * 32, "timestamp": "0x65000000",
        "baseFeePerGas": "0x3b9aca00", "gasUsed": "0x0", "gasLimit": "0x1c9c380",
    }  # fmt: skip


def refuse_method(_: Any) -> Any:
    raise Fault(-32601, "the method does not exist/is not available")


# ── the program itself ──────────────────────────────────────────────────────────────────────────────────────────


def test_version(arbtui: Arbtui) -> None:
    assert arbtui("--version") == Ended(0, f"arbtui {__version__}\n", "")
    assert __version__.count(".") == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ("nonsense",),
        ("--nonsense",),
        ("quote",),
        ("quote", "WETH"),
        ("quote", "WETH", "-1"),
        ("quote", "WETH", "1", "2"),
        ("scan", "--max-hops", "5"),
        ("scan", "--top", "0"),
        ("scan", "--top", "many"),
        ("run", "--headless", "--stage", "yolo"),
        ("run", "--headless", "--approve", "some"),
        ("run", "--headless", "--for", "0"),
        ("run", "--headless", "--for", "soon"),
        ("executions", "--limit", "0"),
        ("report", "--family", "both"),
        ("report", "--csv", "/"),
        ("devnet",),
        ("devnet", "up", "--port", "65536"),
        ("devnet", "up", "--block-time", "-1"),
        ("demo", "--seed", "seven"),
        ("demo", "--for", "0"),
        ("swap", "--snapshot", str(MARKET)),
        ("config",),
    ],
)
def test_bad_usage_is_exit_2(arbtui: Arbtui, arguments: tuple[str, ...]) -> None:
    ended = arbtui(*arguments)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("Usage: arbtui")


def test_no_command_shows_the_help(arbtui: Arbtui) -> None:
    ended = arbtui()
    assert ended.code == 2
    assert "Commands:" in ended.err


@pytest.mark.parametrize("arguments", [("--help",), ("-h",), ("quote", "--help"), ("devnet", "up", "-h")])
def test_help_is_on_standard_output(arbtui: Arbtui, arguments: tuple[str, ...]) -> None:
    ended = arbtui(*arguments)
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith("Usage: arbtui")
    assert max(map(len, ended.out.splitlines())) <= 80


def test_help_loads_next_to_nothing() -> None:
    program = (
        "import sys\n"
        "import arbtui.cli\n"
        "try:\n    arbtui.cli.main(['--help'])\n"
        "except SystemExit as stop:\n    assert not stop.code\n"
        "heavy = ('web3', 'rich', 'textual', 'aiohttp', 'pydantic', 'eth_account', 'eth_abi', 'sqlite_utils')\n"
        "print([name for name in heavy if name in sys.modules], file=sys.stderr)\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stderr) == (0, "[]\n")


def test_the_module_is_the_program() -> None:
    ended = run_process("nonsense")
    assert (ended.code, ended.out) == (2, "")
    assert "No such command 'nonsense'" in ended.err


@pytest.mark.parametrize("target", ["/dev/full", "a closed pipe"])
def test_an_output_that_cannot_be_written(target: str) -> None:
    """A full disk is one line; a reader that has gone away (`| head -1`) is nobody's mistake."""
    reader, writer = os.pipe()
    os.close(reader)
    sink = os.open(target, os.O_WRONLY) if target.startswith("/") else os.dup(writer)
    try:
        ended = subprocess.run(
            [sys.executable, "-m", "arbtui", "scan", "--snapshot", str(MARKET), "--json"],
            stdout=sink, stderr=subprocess.PIPE, text=True, timeout=60,
        )  # fmt: skip
    finally:
        os.close(writer)
        os.close(sink)
    assert "Traceback" not in ended.stderr
    assert ended.returncode != 0
    assert ended.stderr.count("\n") <= 1


# ── configuration ───────────────────────────────────────────────────────────────────────────────────────────────

NEED_CONFIG = (
    ("config", "check"),
    ("config", "show"),
    ("doctor",),
    ("quote", "WETH", "1"),
    ("scan",),
    ("run", "--headless"),
    ("report",),
    ("executions",),
    ("tickets",),
)


@pytest.mark.parametrize("command", NEED_CONFIG)
def test_without_a_configuration(arbtui: Arbtui, tmp_path: Path, command: tuple[str, ...]) -> None:
    ended = arbtui(*command)
    assert ended.code == 2
    assert "neither --config nor $ARBTUI_CONFIG" in ended.line()
    ended = arbtui(*command, "--config", tmp_path / "missing.toml")
    assert ended.code == 2
    assert ended.line().startswith(f"{tmp_path / 'missing.toml'}: there is no such file")


@pytest.mark.parametrize("command", NEED_CONFIG)
def test_with_a_broken_configuration(arbtui: Arbtui, tmp_path: Path, command: tuple[str, ...]) -> None:
    path = tmp_path / "broken.toml"
    path.write_text("[chain]\nname = 5\n")
    ended = arbtui(*command, "--config", path)
    assert (ended.code, ended.out) == (2, "")
    lines = ended.err.splitlines()
    assert len(lines) > 4
    assert all(line.startswith(f"error: {path}: ") for line in lines)


# ── nodes ───────────────────────────────────────────────────────────────────────────────────────────────────────

ASK_NODE = (("quote", "WETH", "1"), ("scan",), ("run", "--headless", "--for", "1"))


@pytest.mark.parametrize("command", ASK_NODE)
def test_a_dead_node(arbtui: Arbtui, tmp_path: Path, command: tuple[str, ...]) -> None:
    port = dead_port()
    config = write_config(tmp_path / "c.toml", f"http://127.0.0.1:{port}")
    ended = arbtui(*command, "--config", config)
    assert ended.code == 3
    assert ended.line().startswith(f"http://127.0.0.1:{port}/…: ")
    assert "no node is listening there; start it or correct chain.rpc_url" in ended.line()
    assert not (tmp_path / "store").exists()


def test_the_doctor_of_a_dead_node(arbtui: Arbtui, tmp_path: Path) -> None:
    config = write_config(tmp_path / "c.toml", f"http://127.0.0.1:{dead_port()}")
    ended = arbtui("doctor", "--json", "--config", config)
    assert (ended.code, ended.err) == (3, "")
    answer = json.loads(ended.out)
    assert answer["ok"] is False
    assert [check["check"] for check in answer["checks"] if not check["ok"]] == ["node"]
    assert "secret-key" not in ended.out
    plain = arbtui("doctor", "--config", config)
    assert plain.code == 3
    assert [line.split(":")[0] for line in plain.out.splitlines() if line.startswith("NO")] == ["NO  node"]


@pytest.mark.parametrize("command", ASK_NODE)
def test_the_wrong_chain(arbtui: Arbtui, tmp_path: Path, node: FakeNode, command: tuple[str, ...]) -> None:
    node.answers["eth_chainId"] = lambda _: "0x1"
    ended = arbtui(*command, "--config", write_config(tmp_path / "c.toml", node.url))
    assert ended.code == 3
    assert (
        "is chain 1, but chain.chain_id says 31337; correct chain.rpc_url or chain.chain_id" in ended.line()
    )


def test_the_doctor_of_the_wrong_chain(arbtui: Arbtui, tmp_path: Path, node: FakeNode) -> None:
    node.answers["eth_chainId"] = lambda _: "0x1"
    ended = arbtui("doctor", "--json", "--config", write_config(tmp_path / "c.toml", node.url))
    assert ended.code == 3
    (bad,) = [check for check in json.loads(ended.out)["checks"] if not check["ok"]]
    assert "is chain 1, but chain.chain_id says 31337" in bad["detail"]


BODIES = {
    "html": (502, "<html><h1>Bad Gateway</h1>\x1b[31m</html>"),
    "empty": (200, ""),
    "null": (200, "null"),
    "list": (200, "[]"),
    "number": (200, "7"),
    "other id": (200, '{"jsonrpc":"2.0","id":999,"result":"0x7a69"}'),
    "true id": (200, '{"jsonrpc":"2.0","id":true,"result":"0x7a69"}'),
    "both": (200, '{"jsonrpc":"2.0","id":1,"result":"0x7a69","error":{"code":1,"message":"x"}}'),
    "neither": (200, '{"jsonrpc":"2.0","id":1}'),
    "error text": (200, '{"jsonrpc":"2.0","id":1,"error":"no"}'),
    "decimal": (200, '{"jsonrpc":"2.0","id":1,"result":"31337"}'),
    "integer": (200, '{"jsonrpc":"2.0","id":1,"result":31337}'),
    "leading zero": (200, '{"jsonrpc":"2.0","id":1,"result":"0x07a69"}'),
    "too large": (200, '{"jsonrpc":"2.0","id":1,"result":"0x1%064d"}' % 0),
    "twice": (200, '{"jsonrpc":"2.0","id":1,"result":"0x1","result":"0x7a69"}'),
    "NaN": (200, '{"jsonrpc":"2.0","id":1,"result":NaN}'),
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
@pytest.mark.parametrize("command", [("quote", "WETH", "1"), ("run", "--headless", "--for", "1")])
def test_an_answer_that_is_no_json_rpc(
    arbtui: Arbtui, tmp_path: Path, node: FakeNode, command: tuple[str, ...], body: tuple[int, str]
) -> None:
    node.raw = lambda _: body
    ended = arbtui(*command, "--config", write_config(tmp_path / "c.toml", node.url))
    assert ended.code == 3
    assert ended.line().isprintable()
    assert not (tmp_path / "store").exists()


def test_an_answer_nested_without_end(tmp_path: Path, node: FakeNode) -> None:
    """In a process of its own: what raises the recursion limit lets this overflow the C stack."""
    node.raw = lambda _: (200, "[" * 100_000)
    config = write_config(tmp_path / "c.toml", node.url)
    ended = run_process("quote", "WETH", "1", "--config", str(config))
    assert ended.code == 3
    assert "is not JSON" in ended.line()


def test_files_nested_without_end(tmp_path: Path) -> None:
    snapshot = tmp_path / "deep.jsonl"
    snapshot.write_text("[" * 1_000_000)
    ended = run_process("scan", "--snapshot", str(snapshot), "--json")
    assert ended.code == 0
    assert json.loads(ended.out)["skipped"]["problems"] == [{"line": 1, "reason": "not JSON"}]
    config = tmp_path / "deep.toml"
    config.write_text("a = " + "[" * 1_000_000)
    ended = run_process("scan", "--config", str(config))
    assert ended.code == 2
    assert "not valid TOML" in ended.line()


@pytest.mark.parametrize("command", [("quote", "WETH", "1"), ("run", "--headless"), ("doctor",)])
def test_a_node_that_refuses(
    arbtui: Arbtui, tmp_path: Path, node: FakeNode, command: tuple[str, ...]
) -> None:
    def refuse(_: Any) -> Any:
        raise Fault(
            -32000, "project ID\nis\x1b[2J rate limited: see https://x.example/key/secret-key, http:///x"
        )

    node.answers["eth_chainId"] = refuse
    ended = arbtui(*command, "--config", write_config(tmp_path / "c.toml", node.url))
    assert "\x1b" not in ended.err + ended.out
    assert "secret-key" not in ended.err + ended.out
    if command == ("doctor",):
        assert ended.code == 3
    else:
        assert ended.code == 1
        assert "the node answered eth_chainId with error -32000: project ID" in ended.line()


@pytest.mark.parametrize(
    ("method", "answer"),
    [
        ("eth_getBlockByNumber", None),
        ("eth_getBlockByNumber", "0x1"),
        ("eth_getBlockByNumber", {"number": "0x5"}),
        ("eth_getBlockByNumber", block_json() | {"hash": "0x12"}),
        ("eth_getBlockByNumber", block_json() | {"timestamp": -1}),
        ("eth_call", "0x"),
        ("eth_call", "0x123"),
        ("eth_call", "0x" + "ff" * 64),
        ("eth_call", None),
        ("eth_feeHistory", None),
        ("eth_feeHistory", {"baseFeePerGas": []}),
        ("eth_feeHistory", {"baseFeePerGas": [5]}),
        ("eth_feeHistory", {"baseFeePerGas": ["0x1"], "reward": "none"}),
        ("eth_feeHistory", {"baseFeePerGas": ["0x1"], "reward": [[None]]}),
    ],
)
def test_an_answer_of_the_wrong_shape(
    arbtui: Arbtui, tmp_path: Path, node: FakeNode, method: str, answer: Any
) -> None:
    node.answers["eth_feeHistory"] = lambda _: {"baseFeePerGas": ["0x1"], "reward": [["0x1"]]}
    node.answers["eth_call"] = lambda _: "0x"
    node.answers[method] = lambda _: answer
    ended = arbtui("quote", "WETH", "1", "--config", write_config(tmp_path / "c.toml", node.url))
    assert ended.code == 3
    ended.line()


HEAD = BlockRef(5, "0x" + "11" * 32, "0x" + "22" * 32, 1, Wei(1), 0, 30_000_000)
LOG = {
    "address": WETH, "topics": [], "data": "0x", "blockNumber": "0x5", "transactionHash": "0x" + "33" * 32,
    "logIndex": "0x0",
}  # fmt: skip


@pytest.mark.parametrize(
    ("method", "answer"),
    [
        ("eth_getLogs", {}),
        ("eth_getLogs", [5]),
        ("eth_getLogs", [LOG | {"topics": "0x"}]),
        ("eth_getLogs", [LOG | {"address": "0x12"}]),
        ("eth_getLogs", [LOG | {"address": None}]),
        ("eth_simulateV1", None),
        ("eth_simulateV1", []),
        ("eth_simulateV1", [{"calls": ["0x"]}]),
        ("eth_simulateV1", [{"calls": [{"status": "0x1"}]}]),
        ("eth_simulateV1", [{"calls": [{"status": "0x0", "gasUsed": "0x1", "error": "reverted"}]}]),
        ("eth_simulateV1", [{"calls": [{"status": "0x1", "gasUsed": "0x1", "logs": 5}]}]),
    ],
)
async def test_what_the_engine_reads_is_checked_before_it_is_believed(method: str, answer: Any) -> None:
    async with fake_node() as fake, JsonRpc(fake.url) as rpc:
        fake.answers[method] = lambda _: answer
        node = Node(rpc)
        asked = (
            node.logs(HEAD, [parse_address(WETH)]) if method == "eth_getLogs" else node.simulate({}, HEAD, 1)
        )
        with pytest.raises(MalformedAnswer):
            await asked


# ── what is refused before anything is done ─────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "option", [("--stage", "live"), ("--approve", "all"), ("--stage", "live", "--approve", "all")]
)
@pytest.mark.parametrize("chain_id", [1, 10, 56, 137, 8453, 42161])
def test_a_public_chain_on_loopback_is_no_local_chain(
    arbtui: Arbtui, tmp_path: Path, node: FakeNode, option: tuple[str, ...], chain_id: int
) -> None:
    node.answers["eth_chainId"] = lambda _: hex(chain_id)
    config = write_config(tmp_path / "c.toml", node.url, chain_id)
    ended = arbtui("run", "--headless", *option, "--config", config)
    assert ended.code == 2
    assert f"--{'approve all' if option[0] == '--approve' else 'stage live'} is refused" in ended.line()
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("answer", [refuse_method, lambda _: None, lambda _: "yes", lambda _: {}])
@pytest.mark.parametrize("option", [("--stage", "live"), ("--approve", "all")])
def test_a_node_that_is_no_development_node(
    arbtui: Arbtui, tmp_path: Path, node: FakeNode, option: tuple[str, ...], answer: Callable[[Any], Any]
) -> None:
    node.answers["anvil_getAutomine"] = answer
    ended = arbtui("run", "--headless", *option, "--config", write_config(tmp_path / "c.toml", node.url))
    assert ended.code == 2
    assert "is refused" in ended.line()


@pytest.mark.parametrize("option", [("--stage", "canary"), ("--approve", "mandate")])
def test_what_does_not_exist_yet(
    arbtui: Arbtui, tmp_path: Path, node: FakeNode, option: tuple[str, ...]
) -> None:
    ended = arbtui("run", "--headless", *option, "--config", write_config(tmp_path / "c.toml", node.url))
    assert ended.code == 2
    assert f"{' '.join(option)} does not exist yet" in ended.line()
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("option", [("--stage", "canary"), ("--approve", "mandate")])
def test_what_does_not_exist_yet_needs_no_node_to_say_so(
    arbtui: Arbtui, tmp_path: Path, option: tuple[str, ...]
) -> None:
    config = write_config(tmp_path / "c.toml", f"http://127.0.0.1:{dead_port()}")
    ended = arbtui("run", "--headless", *option, "--config", config)
    assert ended.code == 2
    assert f"{' '.join(option)} does not exist yet" in ended.line()


def test_a_configuration_whose_contracts_are_not_there(
    arbtui: Arbtui, tmp_path: Path, node: FakeNode
) -> None:
    config = write_config(tmp_path / "c.toml", node.url)
    ended = arbtui("run", "--headless", "--config", config)
    assert ended.code == 3
    assert f"wallet.executor: {WALLET}: nothing is deployed there" in ended.line()
    assert "`arbtui doctor` shows all" in ended.line()
    assert not (tmp_path / "store").exists()
    answer = arbtui("doctor", "--json", "--config", config)
    assert answer.code == 3
    bad = {check["check"] for check in json.loads(answer.out)["checks"] if not check["ok"]}
    assert {"chain.multicall", "wallet.executor", "tokens WETH", "gas money"} <= bad


# ── quote and scan ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("token", "amount", "says"),
    [
        ("WETH", "nope", "amount: 'nope' is not a plain positive number"),
        ("WETH", "", "is not a plain positive number"),
        ("WETH", "1e18", "is not a plain positive number"),
        ("WETH", "0x10", "is not a plain positive number"),
        ("WETH", "1,000", "is not a plain positive number"),
        ("WETH", "nan", "is not a plain positive number"),
        ("WETH", "+1", "is not a plain positive number"),
        ("WETH", "1" * 79, "is not a plain positive number"),
        ("USDC", "1.1234567", "has more than the 6 decimals this token has"),
        ("DOGE", "1", "no token is called 'DOGE'; give its address"),
        ("", "1", "no token is called ''"),
        ("0x12", "1", "no token is called '0x12'"),
        (WETH.replace("a", "A", 1).replace("A", "a", 2), "1", "token"),
        ("0x" + "77" * 20, "1", "token 0x7777777777777777777777777777777777777777 is "),
    ],
)
def test_a_quote_for_nonsense(
    arbtui: Arbtui, tmp_path: Path, node: FakeNode, token: str, amount: str, says: str
) -> None:
    if token.lower() == WETH.lower():
        token = WETH[:-3] + "AaA"
    ended = arbtui("quote", token, amount, "--config", write_config(tmp_path / "c.toml", node.url))
    assert ended.code == 2
    assert says in ended.line()


@pytest.mark.parametrize("amount", ["0", "0.000", "9" * 70, str(2**256 // 10**18 + 1)])
def test_a_quote_for_an_amount_that_cannot_be(
    arbtui: Arbtui, tmp_path: Path, node: FakeNode, amount: str
) -> None:
    ended = arbtui("quote", "WETH", amount, "--config", write_config(tmp_path / "c.toml", node.url))
    assert ended.code == 2
    assert "amount" in ended.line()


def test_a_quote_for_nonsense_needs_no_node_to_be_refused(arbtui: Arbtui, tmp_path: Path) -> None:
    config = write_config(tmp_path / "c.toml", f"http://127.0.0.1:{dead_port()}")
    ended = arbtui("quote", "DOGE", "nope", "--config", config)
    assert ended.code == 2
    ended.line()


def test_a_symbol_that_names_two_tokens(arbtui: Arbtui, tmp_path: Path, node: FakeNode) -> None:
    config = write_config(tmp_path / "c.toml", node.url, third_symbol="USDC")
    ended = arbtui("quote", "usdc", "1", "--config", config)
    assert ended.code == 2
    assert f"2 tokens are called 'usdc'; give an address: {USDC}, {EURC}" in ended.line()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--snapshot", "missing.jsonl"), "snapshot missing.jsonl: No such file or directory"),
        (("--snapshot", "/"), "snapshot /: Is a directory"),
        (("--snapshot", str(MARKET), "--strict"), "line 11"),
        (("--snapshot", str(MARKET), "--base", "PEPE"), "no token is called 'PEPE'"),
        (("--snapshot", str(MARKET), "--base", "0x12"), "0x12"),
    ],
)
def test_a_scan_of_what_is_no_market(arbtui: Arbtui, arguments: tuple[str, ...], says: str) -> None:
    ended = arbtui("scan", *arguments)
    assert ended.code == 2
    assert says in ended.line()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("noise.jsonl", bytes(range(256)) * 20),
        ("cut.jsonl.gz", b"\x1f\x8b\x08\x00garbage"),
        ("text.jsonl", b"hello\nworld\n"),
        ("empty.jsonl", b""),
    ],
)
def test_a_snapshot_of_nothing_usable_never_ends_in_a_traceback(
    arbtui: Arbtui, tmp_path: Path, name: str, content: bytes
) -> None:
    (tmp_path / name).write_bytes(content)
    ended = arbtui("scan", "--snapshot", name, "--json")
    assert ended.code == 0
    answer = json.loads(ended.out)
    assert (answer["pools"], answer["opportunities"]) == (0, [])
    assert (answer["skipped"]["count"] > 0) == bool(content)
    if content:
        strict = arbtui("scan", "--snapshot", name, "--strict")
        assert strict.code == 2
        strict.line()


UNI = str(parse_address("0x" + "100".rjust(40, "0")))


@pytest.mark.parametrize(
    ("trade", "says"),
    [
        ((), ""),
        (("one", "two"), "give POOL TOKEN_IN AMOUNT"),
        (("nonsense", "WETH", "1"), "pool: 'nonsense' is not an address"),
        (("0x" + "99" * 20, "WETH", "1"), "is not in the snapshot"),
        ((UNI, "DOGE", "1"), "DOGE"),
        ((UNI, "WETH", "1.5"), "amount: '1.5' is not a whole number of base units"),
        ((UNI, "WETH", "٣"), "is not a whole number"),
        ((UNI, "WETH", "1" * 100), "is not a whole number"),
    ],
)
def test_a_swap_that_is_none(arbtui: Arbtui, trade: tuple[str, ...], says: str) -> None:
    ended = arbtui("swap", "--snapshot", MARKET, *trade)
    assert (ended.code, ended.out) == (2, "")
    # The line about the snapshot's own broken line may stand before.
    assert says in ended.err.splitlines()[-1]


def test_a_swap_of_more_than_there_is_reverts(arbtui: Arbtui) -> None:
    ended = arbtui("swap", "--snapshot", MARKET, "--json", "--exact-out", UNI, "WETH", "9" * 60)
    assert ended.code == 1
    assert set(json.loads(ended.out)) == {"error", "pool"}


# ── the store ───────────────────────────────────────────────────────────────────────────────────────────────────

READ_STORE = (("report",), ("executions",), ("tickets",), ("report", "--json", "--family", "paper"))


def made_store(directory: Path) -> Path:
    """A store as a run leaves it."""
    with Store.open(directory, "live") as store:
        address = parse_address(WALLET)
        run = RunInfo(
            "r1",
            Stage.OBSERVE,
            "none",
            LOCAL,
            "test",
            address,
            address,
            address,
            "0.0.0",
            "digest",
            utc_now(),
        )
        store.start_run(run)
        store.end_run()
        return store.path


@pytest.mark.parametrize("command", READ_STORE)
def test_no_store(arbtui: Arbtui, tmp_path: Path, command: tuple[str, ...]) -> None:
    ended = arbtui(*command, "--config", write_config(tmp_path / "c.toml", "http://127.0.0.1:1"))
    assert ended.code == 3
    assert f"there is no store at {tmp_path / 'store'}" in ended.line()
    assert "start `arbtui run`" in ended.line()
    assert not (tmp_path / "store").exists()


def _garbage(path: Path) -> None:
    path.write_bytes(b"this is no database at all, not even nearly " * 100)


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:5000])


def _scribbled(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[100:] = os.urandom(len(raw) - 100)
    path.write_bytes(raw)


def _directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("spoil", [_garbage, _empty, _cut, _scribbled, _directory])
@pytest.mark.parametrize("command", READ_STORE[:3])
def test_a_store_that_is_broken(
    arbtui: Arbtui, tmp_path: Path, command: tuple[str, ...], spoil: Callable[[Path], None]
) -> None:
    path = made_store(tmp_path / "store")
    for beside in path.parent.glob("*-wal"):
        beside.unlink()
    spoil(path)
    ended = arbtui(*command, "--config", write_config(tmp_path / "c.toml", "http://127.0.0.1:1"))
    assert ended.code == 3
    assert str(path) in ended.line()


def test_a_store_whose_place_is_a_file(arbtui: Arbtui, tmp_path: Path) -> None:
    (tmp_path / "store").write_text("x")
    config = write_config(tmp_path / "c.toml", "http://127.0.0.1:1")
    ended = arbtui("report", "--config", config)
    assert ended.code == 3
    ended.line()
    answer = json.loads(arbtui("doctor", "--json", "--config", config).out)
    assert [check["ok"] for check in answer["checks"] if check["check"] == "store"] == [False]


@pytest.mark.parametrize("since", ["yesterday", "-5m", "5", "5 parsecs", "2026-13-01", "9" * 12 + "d", ""])
def test_a_since_that_is_none(arbtui: Arbtui, tmp_path: Path, since: str) -> None:
    made_store(tmp_path / "store")
    config = write_config(tmp_path / "c.toml", "http://127.0.0.1:1")
    ended = arbtui("report", "--since", since, "--config", config)
    assert ended.code == 2
    assert "is neither a duration such as 90s, 15m, 2h, 7d nor an ISO time" in ended.line()


def test_a_ledger_that_cannot_be_written(arbtui: Arbtui, tmp_path: Path) -> None:
    made_store(tmp_path / "store")
    config = write_config(tmp_path / "c.toml", "http://127.0.0.1:1")
    ended = arbtui("report", "--csv", tmp_path / "not" / "there.csv", "--config", config)
    assert ended.code in (2, 3)
    assert "there.csv" in ended.err
    assert "Traceback" not in ended.err


def test_a_report_over_nothing_is_nulls_and_zeroes(arbtui: Arbtui, tmp_path: Path) -> None:
    made_store(tmp_path / "store")
    config = write_config(tmp_path / "c.toml", "http://127.0.0.1:1")
    ended = arbtui("report", "--json", "--config", config)
    assert (ended.code, ended.err) == (0, "")
    answer = json.loads(ended.out)
    for mean in (
        "success_rate",
        "avg_execution_time_s",
        "p50_execution_time_s",
        "p95_execution_time_s",
        "avg_profit",
    ):
        assert answer[mean] is None
    assert answer["net_profit"] == "0"
    assert arbtui("report", "--config", config).code == 0


def test_a_second_engine_is_told_of_the_first(arbtui: Arbtui, tmp_path: Path) -> None:
    config = write_config(tmp_path / "c.toml", f"http://127.0.0.1:{dead_port()}")
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "store")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as first:  # fmt: skip
        try:
            assert first.stdout is not None
            assert first.stdout.readline() == "held\n"
            ended = arbtui("doctor", "--json", "--config", config)
        finally:
            first.send_signal(signal.SIGKILL)
    assert ended.code == 3
    (store,) = [check for check in json.loads(ended.out)["checks"] if check["check"] == "store"]
    assert not store["ok"]
    assert f"another engine (pid {first.pid}) holds" in store["detail"]


# ── the local chain ─────────────────────────────────────────────────────────────────────────────────────────────


def test_no_local_chain(arbtui: Arbtui) -> None:
    ended = arbtui("devnet", "down")
    assert ended.code == 3
    assert ended.line() == "no local chain is running; start one with `arbtui devnet up`"
    assert "on port 4242" in arbtui("devnet", "down", "--port", "4242").line()
    assert arbtui("devnet", "status", "--json") == Ended(0, '{"running": false}\n', "")


def test_a_port_that_is_taken(arbtui: Arbtui) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        for more in ((), ("--detach",)):
            ended = arbtui("devnet", "up", "--port", str(port), *more)
            assert ended.code == 3
            assert f"127.0.0.1:{port}: in use already" in ended.line()


def test_no_anvil(arbtui: Arbtui, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARBTUI_ANVIL", str(tmp_path / "no-anvil"))
    ended = arbtui("devnet", "up", "--port", "0")
    assert ended.code == 3
    assert "is not an executable; correct it or unset it" in ended.line()
    monkeypatch.delenv("ARBTUI_ANVIL")
    monkeypatch.setenv("ARBTUI_NODE_MODULES", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    ended = arbtui("devnet", "up", "--port", "0")
    assert ended.code == 3
    assert "run `make setup`" in ended.line()


@pytest.mark.parametrize("command", [("run",), ("run", "--stage", "live"), ("attach",)])
def test_a_desk_needs_a_terminal(arbtui: Arbtui, tmp_path: Path, command: tuple[str, ...]) -> None:
    config = write_config(tmp_path / "c.toml", f"http://127.0.0.1:{dead_port()}")
    ended = arbtui(*command, "--config", config)
    assert ended.code == 2
    assert "there is no terminal for the desk" in ended.line()
    assert not (tmp_path / "store").exists()
