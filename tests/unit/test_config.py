"""The configuration as somebody in a hurry, or somebody with ill will, writes it."""

from __future__ import annotations

import contextlib
import json
import traceback
from pathlib import Path

import pytest

from arbtui.approval import ApproveMode
from arbtui.bootstrap import open_desk, open_engine
from arbtui.cli import main
from arbtui.config import Config, find_config, load_config
from arbtui.domain import Stage
from arbtui.errors import ArbtuiError, ConfigError
from arbtui.units import parse_address

LOW, HIGH, POOL = (str(parse_address(f"0x{tail:0>40}")) for tail in ("aaa", "bbb", "ccc"))
MISTYPED = "0xF39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
SECRET = "k3y-that-nobody-may-see"

CONFIG = f"""\
[chain]
name = "test"
chain_id = 31337
rpc_url = "http://127.0.0.1:1/v3/{SECRET}?key={SECRET}"
wrapped_native = "{LOW}"

[wallet]
address = "0x0000000000000000000000000000000000000001"
executor = "0x0000000000000000000000000000000000000002"
treasury = "0x0000000000000000000000000000000000000003"

[store]
directory = "data/store"

[search]
base_tokens = ["WETH"]

[[tokens]]
address = "{LOW}"
symbol = "WETH"
decimals = 18

[[tokens]]
address = "{HIGH}"
symbol = "USDC"
decimals = 6

[[pools]]
address = "{POOL}"
dex = "uniswap"
kind = "uniswap_v2"
token0 = "{LOW}"
token1 = "{HIGH}"
fee_ppm = 3000
"""


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Neither this machine's configuration nor its state is in the way."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(folder / "config"))
    monkeypatch.setenv("XDG_STATE_HOME", str(folder / "state"))
    monkeypatch.delenv("ARBTUI_CONFIG", raising=False)
    return folder


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "arbtui.toml"


def changed(*swaps: tuple[str, str]) -> str:
    text = CONFIG
    for old, new in swaps:
        assert old in text, old
        text = text.replace(old, new, 1)
    return text


def read(path: Path, text: str) -> Config:
    path.write_text(text, "utf-8")
    return load_config(str(path))


def refused(path: Path, text: str) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        read(path, text)
    assert caught.value.exit_code == 2
    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    assert SECRET not in shown
    assert "\n" not in str(caught.value)
    return caught.value


def told(path: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The lines `config check` prints for a file it refuses."""
    with pytest.raises(SystemExit) as stop:
        main(["config", "check", "--config", str(path)])
    shown = capsys.readouterr()
    assert (stop.value.code, shown.out) == (2, "")
    return shown.err.splitlines()


# ── where it comes from ─────────────────────────────────────────────────────────────────────────────────────────


def test_environment_over_file_over_defaults(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = read(path, CONFIG)
    assert (plain.chain.timeout_s, plain.gas.strategy, plain.chain.name) == (5.0, "balanced", "test")
    from_file = read(path, CONFIG.replace('name = "test"', 'name = "test"\ntimeout_s = 7'))
    assert from_file.chain.timeout_s == 7.0
    monkeypatch.setenv("ARBTUI_CHAIN__TIMEOUT_S", "9")
    monkeypatch.setenv("ARBTUI_CHAIN__RPC_URL", "http://10.0.0.1:8545")
    monkeypatch.setenv("ARBTUI_GAS__STRATEGY", "aggressive")
    from_env = load_config(str(path))
    assert from_env.chain.timeout_s == 9.0
    assert from_env.chain.rpc_url.get_secret_value() == "http://10.0.0.1:8545"
    assert from_env.chain.name == "test"
    assert from_env.gas.chosen.max_tries == 3


def test_a_value_of_the_environment_is_checked_like_one_of_the_file(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARBTUI_CHAIN__RPC_URL", f"ftp://{SECRET}")
    assert "chain.rpc_url: must start with http:// or https://" in str(refused(path, CONFIG))


@pytest.mark.parametrize("name", ["ARBTUI_TOKENS", "ARBTUI_CHAIN", "ARBTUI_SEARCH__BASE_TOKENS"])
def test_an_environment_that_is_not_json_where_it_must_be_is_one_line(
    path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "not [json")
    path.write_text(CONFIG, "utf-8")
    with pytest.raises(ConfigError, match="(?i)" + name.partition("__")[0]):
        load_config(str(path))


def test_the_file_is_the_option_else_the_environment_else_here_else_the_users(
    tmp_path: Path, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match=r"neither --config nor \$ARBTUI_CONFIG.*arbtui devnet up"):
        find_config(None)
    users = elsewhere / "config" / "arbtui" / "arbtui.toml"
    users.parent.mkdir(parents=True)
    users.touch()
    assert find_config(None) == users
    here = elsewhere / "arbtui.toml"
    here.touch()
    assert find_config(None) == here
    monkeypatch.setenv("ARBTUI_CONFIG", "/from/the/environment.toml")
    assert find_config(None) == Path("/from/the/environment.toml")
    assert find_config("/given.toml") == Path("/given.toml")


def test_a_relative_store_is_beside_its_file_wherever_one_stands(path: Path, elsewhere: Path) -> None:
    assert read(path, CONFIG).store.directory == path.parent / "data" / "store"
    absolute = read(path, CONFIG.replace("data/store", "/var/lib/arbtui"))
    assert absolute.store.directory == Path("/var/lib/arbtui")
    link = elsewhere / "linked.toml"
    link.symlink_to(path)
    path.write_text(CONFIG, "utf-8")
    assert load_config("linked.toml").store.directory == path.parent / "data" / "store"


# ── files that are none ─────────────────────────────────────────────────────────────────────────────────────────


def test_a_missing_file_says_how_to_get_one(path: Path) -> None:
    with pytest.raises(ConfigError, match=rf"{path}: there is no such file; `arbtui devnet up` writes one"):
        load_config(str(path))


@pytest.mark.parametrize("content", [b"\xff\xfe[chain]", b'name = "\x80"', "[chain]".encode("utf-16")])
def test_bytes_that_are_no_text(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=rf"{path}: cannot be read as text"):
        load_config(str(path))


def test_a_directory_in_its_place(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=rf"{tmp_path}: cannot be read"):
        load_config(str(tmp_path))


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("[chain]\nname = \n", "line 2"),
        ("[chain]\n\n[chain]\n", "line 3"),
        ('[chain]\nname = "never closed\n', "line 2"),
        (f'[chain]\nrpc_url = "http://x/{SECRET}" oops\n', "line 2"),
        ("[chain", "end of document"),
    ],
)
def test_bad_toml_names_file_and_line(path: Path, text: str, where: str) -> None:
    error = str(refused(path, text))
    assert error.startswith(f"{path}: not valid TOML: ")
    assert where in error


def test_an_empty_file_names_every_section_it_needs(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path.touch()
    assert told(path, capsys) == [
        f"error: {path}: {name}: is missing" for name in ("chain", "wallet", "store", "search", "tokens")
    ]


# ── keys and values ─────────────────────────────────────────────────────────────────────────────────────────────


def test_every_violation_at_once_one_line_each(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = changed(
        ("chain_id = 31337", "chain_id = -5\nchian = 1"),
        ('executor = "0x0000000000000000000000000000000000000002"\n', ""),
        ("decimals = 6", 'decimals = "six"'),
        ("fee_ppm = 3000", "fee_ppm = 1_000_000"),
        ('base_tokens = ["WETH"]', "base_tokens = []\nmax_hops = 9"),
    )
    error = refused(path, text)
    lines = told(path, capsys)
    assert lines == [f"error: {path}: {problem}" for problem in error.problems]
    for key, mending in (
        ("chain.chain_id", "greater than 0"),
        ("chain.chian", "no such key"),
        ("wallet.executor", "is missing"),
        ("tokens.1.decimals", "valid integer"),
        ("pools.0.fee_ppm", "less than 1000000"),
        ("search.base_tokens", "at least 1 item"),
        ("search.max_hops", "less than or equal to 4"),
    ):
        assert sum(line.startswith(f"error: {path}: {key}: ") and mending in line for line in lines) == 1, key
    assert len(lines) == 7


def test_what_spans_several_keys_is_one_line_each_too(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = changed(
        ('["WETH"]', '["WETH", "DOGE", "PEPE"]'), (f'wrapped_native = "{LOW}"', f'wrapped_native = "{POOL}"')
    )
    path.write_text(text, "utf-8")
    lines = told(path, capsys)
    assert len(lines) == 3
    for line, key in zip(lines, ("'DOGE'", "'PEPE'", "chain.wrapped_native"), strict=True):
        assert key in line


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("rpc_url", "rpc_ulr", "chain.rpc_ulr: there is no such key; did you mean rpc_url?"),
        ("[search]", "[gas]\nstrateggy = 'x'\n[search]", "did you mean strategy?"),
        ("[search]", "[serach]\n[search]", "serach: there is no such key; did you mean search?"),
        ("[search]", "[validation]\nmax_price_impact = 1\n[search]", "did you mean max_price_impact_bps?"),
        ("[search]", "[zzzzzz]\n[search]", "zzzzzz: there is no such key"),
    ],
)
def test_an_unknown_key_and_what_was_meant(path: Path, old: str, new: str, says: str) -> None:
    assert says in str(refused(path, changed((old, new))))


@pytest.mark.parametrize(
    ("old", "new"), [("fee_ppm = 3000", "fee_pmm = 3000"), ("decimals = 6", "decimal = 6")]
)
def test_an_unknown_key_in_a_list_and_what_was_meant(path: Path, old: str, new: str) -> None:
    assert f"did you mean {old.partition(' ')[0]}?" in str(refused(path, changed((old, new))))


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (f'"{LOW}"', f'"{MISTYPED}"', "wrapped_native: .*0x.* has a wrong checksum"),
        (f'"{LOW}"', '"0x123"', "chain.wrapped_native: .*'0x123' is not an address"),
        (f'"{LOW}"', "7", "chain.wrapped_native: Input should be a valid string"),
        (f'token0 = "{LOW}"\ntoken1 = "{HIGH}"', f'token0 = "{HIGH}"\ntoken1 = "{LOW}"', "token0 must be the lower"),
        (f'token0 = "{LOW}"\ntoken1 = "{HIGH}"', f'token0 = "{LOW}"\ntoken1 = "{LOW}"', "token0 must be the lower"),
        ('"uniswap_v2"', '"uniswap_v3"', "a uniswap_v3 pool needs tick_spacing"),
        ('"uniswap_v2"', '"uniswap_v4"', "pools.0.kind: .*uniswap_v2"),
        (f'token1 = "{HIGH}"', f'token1 = "{POOL}"', rf"{POOL} trades a token that \[\[tokens\]\] does not list"),
        ('["WETH"]', '["WETH", "DOGE"]', r"'DOGE' is neither a symbol nor an address in \[\[tokens\]\]"),
        ('["WETH"]', f'["{POOL}"]', "is neither a symbol nor an address"),
        ("decimals = 18", "decimals = 78", "tokens.0.decimals: .*77"),
        ("decimals = 18", "decimals = 18.5", "tokens.0.decimals: "),
        ('symbol = "WETH"', 'symbol = ""', "tokens.0.symbol: "),
        ("chain_id = 31337", "chain_id = 31337\nblock_time_s = nan", "chain.block_time_s: "),
        ("chain_id = 31337", "chain_id = 31337\npoll_interval_s = inf", "chain.poll_interval_s: "),
    ],
)  # fmt: skip
def test_a_bad_value_names_its_key_and_the_mending(path: Path, old: str, new: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        read(path, changed((old, new)))


@pytest.mark.parametrize("url", ["ftp://x", "", "127.0.0.1:8545", f"file:///{SECRET}", f"ws://{SECRET}@x"])
def test_an_address_that_is_not_http(path: Path, url: str) -> None:
    text = changed((f'"http://127.0.0.1:1/v3/{SECRET}?key={SECRET}"', json.dumps(url)))
    assert "chain.rpc_url: must start with http:// or https://" in str(refused(path, text))


@pytest.mark.parametrize(
    "url", ["http://", "http:///v3/key", "https://?key=1", "http://:8545", "http://[::1"]
)
def test_an_address_without_a_host(path: Path, url: str) -> None:
    text = changed((f'"http://127.0.0.1:1/v3/{SECRET}?key={SECRET}"', json.dumps(url)))
    assert "chain.rpc_url: " in str(refused(path, text))


def test_an_unknown_gas_strategy_names_those_there_are(path: Path) -> None:
    text = changed(("[search]", '[gas]\nstrategy = "yolo"\n[search]'))
    error = str(refused(path, text))
    assert "gas: strategy 'yolo' is none of aggressive, balanced, conservative" in error


def test_what_stands_there_twice(path: Path) -> None:
    token = f'[[tokens]]\naddress = "{LOW.lower()}"\nsymbol = "AGAIN"\ndecimals = 1\n'
    assert f"tokens: {LOW} stands there twice" in str(refused(path, CONFIG + token))
    pool = CONFIG[CONFIG.index("[[pools]]") :]
    assert f"pools: {POOL} stands there twice" in str(refused(path, CONFIG + pool))


@pytest.mark.parametrize(
    "name", ["_cli_parse_args", "_env_prefix", "_secrets_dir", "_case_sensitive", "self"]
)
def test_a_key_of_the_library_is_an_unknown_key_too(path: Path, name: str) -> None:
    assert f"{name}: there is no such key" in str(refused(path, f'{name} = "x"\n{CONFIG}'))


def test_a_key_cannot_act_on_the_terminal(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path.write_text('"\\u001b]0;gotcha\\u0007\\u202e" = 1\n' + CONFIG, "utf-8")
    (line,) = told(path, capsys)
    assert line.isprintable()


# ── foreign text ────────────────────────────────────────────────────────────────────────────────────────────────

HOSTILE = "US[/]D\x1b[31mC\u202e\x9b2J"


def test_a_hostile_symbol_is_made_safe(path: Path) -> None:
    config = read(path, changed(('symbol = "USDC"', f"symbol = {json.dumps(HOSTILE)}")))
    symbol = config.tokens[1].token().symbol
    assert symbol.isprintable()
    assert symbol.startswith("US[/]D\ufffd[31mC\ufffd")
    assert len(config.tokens[1].model_copy(update={"symbol": "X" * 64}).token().symbol) == 16


def test_a_base_token_by_a_symbol_that_was_made_safe_or_short(path: Path) -> None:
    # What the file says is a symbol of the file; it must not end in a traceback later.
    for symbol in ("WETH\u202e", "W" * 40, "0xWETH"):
        config = read(
            path,
            changed(
                ('symbol = "WETH"', f"symbol = {json.dumps(symbol)}"), ('["WETH"]', f"[{json.dumps(symbol)}]")
            ),
        )
        assert config.bases() == (LOW,)


def test_a_base_symbol_that_names_two_tokens_is_refused_with_both_addresses(path: Path) -> None:
    error = refused(path, changed(('symbol = "USDC"', 'symbol = "WETH"')))
    assert "search.base_tokens: 'WETH' names several tokens" in str(error)
    assert LOW in str(error)
    assert HIGH in str(error)


def test_a_pools_dex_and_the_chains_names_are_made_safe(path: Path) -> None:
    text = changed(
        ('dex = "uniswap"', f"dex = {json.dumps(HOSTILE)}"),
        ('name = "test"', f'name = {json.dumps(HOSTILE)}\nnative_symbol = "E\\u001b[5mTH"'),
    )
    config = read(path, text)
    assert config.pools[0].dex.isprintable()
    assert config.chain.name.isprintable()
    assert config.chain.native_symbol.isprintable()


# ── the key in the node's address ───────────────────────────────────────────────────────────────────────────────


def test_the_nodes_key_is_in_no_output(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = read(path, CONFIG)
    for shown in (
        repr(config),
        str(config),
        repr(config.chain),
        config.model_dump_json(),
        str(config.model_dump()),
    ):
        assert SECRET not in shown
    with pytest.raises(SystemExit) as stop:
        main(["config", "show", "--config", str(path)])
    out = capsys.readouterr().out
    assert stop.value.code == 0
    assert SECRET not in out
    shown = json.loads(out)
    assert shown["chain"]["rpc_url"] == "**********"
    assert shown["gas"]["strategy"] == "balanced"


@pytest.mark.parametrize(
    "url",
    [
        f"http://127.0.0.1:1/v3/{SECRET}",
        f"http://127.0.0.1:1?key={SECRET}",
        f"http://user:{SECRET}@127.0.0.1:1",
        f"http://{SECRET}@127.0.0.1:1/#{SECRET}",
        f"http://user:p@ss:{SECRET}@127.0.0.1:1/",
        f"http://127.0.0.1:1/it's)/{SECRET}",
        f"http://user:{SECRET})'x@127.0.0.1:1/",
        f"http://127.0.0.1:1/\t{SECRET}",
        f"http://user:pass {SECRET}@127.0.0.1:1/",
        f"http://user:{SECRET} word@127.0.0.1:1/",
    ],
)
async def test_the_nodes_key_is_in_no_error(path: Path, url: str) -> None:
    text = changed((f'"http://127.0.0.1:1/v3/{SECRET}?key={SECRET}"', json.dumps(url)))
    shown = ""
    try:
        config = read(path, text)
        async with open_desk(config):
            pass
    except ArbtuiError as error:
        shown = str(error)
    assert shown
    assert SECRET not in shown


async def test_nothing_is_written_before_the_node_has_answered(path: Path) -> None:
    config = read(path, CONFIG)
    with contextlib.suppress(ArbtuiError):
        async with open_engine(config, Stage.OBSERVE, ApproveMode.NONE, lambda _: None):
            pytest.fail("there is no node")
    assert not config.store.directory.exists()
