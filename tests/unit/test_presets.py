"""The chains' data files: whole, sourced, provable; and what a configuration makes of them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from arbtui.abi import encode_call, keccak
from arbtui.chain import preset, preset_of_chain, presets
from arbtui.chain.policy import PUBLIC_CHAIN_IDS
from arbtui.cli.scan_snapshot import snapshot_scan
from arbtui.config import Config, load_config
from arbtui.domain import LenderId, PoolKind
from arbtui.errors import ConfigError, UsageError
from arbtui.lenders import build_lenders
from arbtui.lenders.policy import LendersPolicy
from arbtui.units import Address, parse_address

WALLET = "0x0000000000000000000000000000000000000001"
BRIDGED = "0x2791Bca1f2de4661ED88A30C99A7a9449Aa84174"


def test_there_is_a_preset_for_each_of_the_five_chains() -> None:
    assert {name: item.chain_id for name, item in presets().items()} == {
        "arbitrum": 42161,
        "base": 8453,
        "ethereum": 1,
        "optimism": 10,
        "polygon": 137,
    }
    assert preset_of_chain(137) is preset("polygon")
    assert preset_of_chain(31337) is None
    assert {item.chain_id for item in presets().values()} <= PUBLIC_CHAIN_IDS, "never taken for a local chain"
    with pytest.raises(
        ConfigError, match=re.escape("no preset 'etherium'; did you mean ethereum? (there are: arb")
    ):
        preset("etherium")


@pytest.mark.parametrize("name", ["arbitrum", "base", "ethereum", "optimism", "polygon"])
def test_a_preset_is_whole(name: str) -> None:
    chain = preset(name)
    for what in ("symbol", "address"):
        seen = [getattr(token, what) for token in chain.tokens]
        assert len(seen) == len(set(seen)), what
    assert {"WETH", "USDC"} <= set(chain.symbols)
    assert set(chain.sources) == {
        source
        for item in (*chain.tokens, *chain.lenders.values(), *chain.dexes)
        for source in (item.source, getattr(item, "code_source", item.source))
    }, "a source that nothing names"
    assert all(len(text) > 30 for text in chain.sources.values())
    LendersPolicy.model_validate(chain.settings()["lenders"])
    assert {"aave_v3", "balancer_v2", "morpho"} <= set(chain.lenders)
    assert (chain.lenders["aave_v3"].address, chain.lenders["balancer_v2"].registry) == (None, None), (
        "what turns is asked of its registry"
    )
    for dex in chain.dexes:
        assert dex.fees_ppm == ((3000,) if dex.kind is PoolKind.UNISWAP_V2 else (100, 500, 3000, 10000))


#: Pools as block explorers and subgraphs publish them: the address follows from factory, tokens, fee and init code.
PUBLISHED = [
    ("ethereum", "uniswap", "USDC", "WETH", None, "0xB4e16d0168e52d35CaCD2c6185b44281Ec28C9Dc"),
    ("ethereum", "sushiswap", "USDC", "WETH", None, "0x397FF1542f962076d0BFE58eA045FfA2d347ACa0"),
    ("ethereum", "uniswap", "USDC", "WETH", 500, "0x88e6A0c2dDD26FEEb64F039a2c41296FcB3f5640"),
    ("ethereum", "sushiswap", "USDC", "WETH", 500, "0x35644Fb61aFBc458bf92B15AdD6ABc1996Be5014"),
    ("arbitrum", "uniswap", "USDC", "WETH", 500, "0xC6962004f452bE9203591991D15f6b388e09E8D0"),
    ("arbitrum", "uniswap", "USDC", "WETH", None, "0xF64Dfe17C8b87F012FCf50FbDA1D62bfA148366a"),
    ("arbitrum", "sushiswap", "USDC.e", "WETH", None, "0x905dfCD5649217c42684f23958568e533C711Aa3"),
    ("base", "uniswap", "USDC", "WETH", 500, "0xd0b53D9277642d899DF5C87A3966A349A798F224"),
    ("base", "uniswap", "USDC", "WETH", None, "0x88A43bbDF9D098eEC7bCEda4e2494615dfD9bB9C"),
    ("base", "sushiswap", "USDC", "WETH", None, "0x2F8818D1B0f3e3E295440c1C0cDDf40aAA21fA87"),
    ("base", "sushiswap", "USDC", "WETH", 500, "0x57713F7716e0b0F65ec116912F834E49805480d2"),
    ("optimism", "uniswap", "USDC", "WETH", 500, "0x1fb3cf6e48F1E7B10213E7b6d87D4c073C7Fdb7b"),
    ("optimism", "uniswap", "USDC", "WETH", None, "0x4C43646304492A925E335f2b6d840C1489f17815"),
    ("optimism", "uniswap", "USDC.e", "WETH", 500, "0x85149247691df622eaF1a8Bd0CaFd40BC45154a9"),
    ("polygon", "uniswap", "USDC.e", "WETH", 500, "0x45dDa9cb7c25131DF268515131f647d726f50608"),
    ("polygon", "uniswap", "USDC", "WPOL", None, "0x1f0c5400A3C7E357CC7c9A3D2f7Fe6DDF629D868"),
    ("polygon", "sushiswap", "WETH", "WPOL", None, "0xc4e595acDD7d12feC385E5dA5D43160e8A0bAC0E"),
    ("polygon", "quickswap", "USDC.e", "WPOL", None, "0x6e7a5FAFcec6BB1e78bAE2A1F0B612012BF14827"),
]


@pytest.mark.parametrize(("name", "exchange", "one", "other", "fee", "published"), PUBLISHED)
def test_the_factories_make_the_pools_that_are_there(
    name: str, exchange: str, one: str, other: str, fee: int | None, published: str
) -> None:
    chain = preset(name)
    kind = PoolKind.UNISWAP_V2 if fee is None else PoolKind.UNISWAP_V3
    dex = next(dex for dex in chain.dexes if (dex.name, dex.kind) == (exchange, kind))
    low, high = sorted((chain.symbols[one], chain.symbols[other]), key=lambda text: int(text, 16))
    if fee is None:
        key = bytes.fromhex(low[2:] + high[2:])
    else:
        key = encode_call("(address,address,uint24)", low, high, fee)[4:]
    parts = (b"\xff", bytes.fromhex(dex.factory[2:]), keccak(key), bytes.fromhex(dex.init_code_hash[2:]))
    assert parse_address("0x" + keccak(b"".join(parts))[-20:].hex()) == published


# ---- in a configuration


def configured(folder: Path, chain: str, rest: str = "") -> Config:
    path = folder / "arbtui.toml"
    path.write_text(
        f'[chain]\n{chain}\nrpc_url = "http://127.0.0.1:1"\n[wallet]\naddress = "{WALLET}"\n'
        f'executor = "{WALLET}"\ntreasury = "{WALLET}"\n[store]\ndirectory = "store"\n{rest}',
        "utf-8",
    )
    return load_config(str(path))


def test_a_configuration_says_only_what_differs(tmp_path: Path) -> None:
    rest = (
        f'[lenders.morpho]\naddress = "{WALLET}"\nenabled = false\n[lenders.aave_v3]\naddress = "{WALLET}"\n'
        f'[search]\nmax_hops = 3\n[[tokens]]\naddress = "{BRIDGED.lower()}"\nsymbol = "OLD"\ndecimals = 6\n'
    )
    config = configured(tmp_path, 'preset = "polygon"\nblock_time_s = 3', rest)
    assert (config.chain.chain_id, config.chain.name, config.chain.native_symbol) == (137, "polygon", "POL")
    assert config.chain.block_time_s == 3
    assert config.search.max_hops == 3
    assert config.token("WPOL").address == config.chain.wrapped_native
    assert [config.token_map()[address].symbol for address in config.bases()] == [
        "WPOL",
        "WETH",
        "USDC",
        "USDT",
    ]
    assert config.token("OLD").address == BRIDGED
    assert len(config.tokens) == len(preset("polygon").tokens), "joined by address, not listed twice"
    assert config.lenders.off() == {LenderId.MORPHO}
    # A table given here takes the place of the preset's: its registry does not stay beside the address.
    assert config.lenders.aave_v3 is not None
    assert (config.lenders.aave_v3.address, config.lenders.aave_v3.registry) == (WALLET, None)
    assert config.lenders.uniswap_v2.dexes == ("quickswap", "sushiswap", "uniswap")
    places = config.lenders.places()
    assert places["lenders.aave_v2.registry"] == "0xd05e3E715d945B59290df0ae8eF85c1BdB684744"
    assert "lenders.morpho.address" not in places, "what is not used need not be there"
    built = [
        lender.id
        for lender in build_lenders(config.lenders, config.wallet.executor, lambda _: (), lambda _: None)
    ]
    assert built[-1] is LenderId.OWN
    assert {LenderId.AAVE_V2, LenderId.MORPHO, LenderId.UNISWAP_V3} < set(built)


def test_the_environment_may_name_the_preset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARBTUI_CHAIN__PRESET", "base")
    assert configured(tmp_path, "").chain.chain_id == 8453


@pytest.mark.parametrize(
    ("chain", "says"),
    [
        ('preset = "etherium"', "chain.preset: there is no preset 'etherium'; did you mean ethereum?"),
        (
            'preset = "base"\nchain_id = 1',
            "chain.chain_id: 1 is another public chain than preset base (8453)",
        ),
        ("preset = 7", "chain.preset: "),
        ('preset = "base"\nprest = "x"', "chain.prest: there is no such key; did you mean preset?"),
    ],
)
def test_a_preset_that_cannot_be_meant_is_refused(tmp_path: Path, chain: str, says: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(says)):
        configured(tmp_path, chain)


def test_a_fork_of_a_chain_may_have_an_id_of_its_own(tmp_path: Path) -> None:
    assert configured(tmp_path, 'preset = "ethereum"\nchain_id = 31337').chain.chain_id == 31337


@pytest.mark.parametrize(
    "table",
    [
        "[lenders.aave_v2]\nenabled = true",
        f'[lenders.aave_v2]\naddress = "{WALLET}"\nregistry = "{WALLET}"',
    ],
)
def test_a_lender_is_at_an_address_or_behind_a_registry(tmp_path: Path, table: str) -> None:
    with pytest.raises(ConfigError, match=re.escape("lenders.aave_v2: give either address or registry")):
        configured(tmp_path, 'preset = "ethereum"', table)


TWO = f'[[tokens]]\naddress = "{BRIDGED}"\nsymbol = "USDC"\ndecimals = 6\n'


@pytest.mark.parametrize("text", ["USDC", "usdc"])
def test_a_shared_symbol_means_the_one_of_the_preset(tmp_path: Path, text: str) -> None:
    config = configured(tmp_path, 'preset = "polygon"', TWO + f'[search]\nbase_tokens = ["{text.upper()}"]\n')
    circles = preset("polygon").symbols["USDC"]
    assert config.token(text).address == circles
    assert config.bases() == (circles,)
    assert config.token(BRIDGED).address == BRIDGED


def test_a_shared_symbol_without_a_preset_is_refused_with_the_addresses(tmp_path: Path) -> None:
    circles = preset("polygon").symbols["USDC"]
    tokens = f'[[tokens]]\naddress = "{circles}"\nsymbol = "USDC"\ndecimals = 6\n{TWO}'
    names = f'name = "x"\nwrapped_native = "{circles}"\n'
    rest = f'[search]\nbase_tokens = ["{BRIDGED}"]\n{tokens}'
    # Of a chain whose id says which preset it is, the symbol has a meaning without naming it.
    assert configured(tmp_path, f"{names}chain_id = 137", rest).token("USDC").address == circles
    nowhere = configured(tmp_path, f"{names}chain_id = 31337", rest)
    with pytest.raises(
        UsageError, match=f"2 tokens are called 'USDC'; give an address: {circles}, {BRIDGED}"
    ):
        nowhere.token("USDC")
    with pytest.raises(ConfigError, match="'USDC' names several tokens"):
        configured(tmp_path, f"{names}chain_id = 31337", f'[search]\nbase_tokens = ["USDC"]\n{tokens}')


def test_a_snapshot_says_by_its_chain_id_what_a_symbol_means(tmp_path: Path) -> None:
    circles, wpol = (preset("polygon").symbols[symbol] for symbol in ("USDC", "WPOL"))

    def pool(number: int, token: Address | str) -> str:
        low, high = sorted((token, wpol), key=lambda text: int(text, 16))
        return (
            f'{{"type":"pool","address":"0x{number:040x}","dex":"x","kind":"uniswap_v2","token0":"{low}",'
            f'"token1":"{high}","fee_ppm":3000,"reserve0":"1000","reserve1":"1000"}}\n'
        )

    def scan(block: str) -> dict[str, Any]:
        token = '{{"type":"token","address":"{}","symbol":"USDC","decimals":6}}\n'
        file = tmp_path / "market.jsonl"
        file.write_text(
            block + token.format(circles) + token.format(BRIDGED) + pool(1, circles) + pool(2, BRIDGED)
        )
        return snapshot_scan(file, ["USDC"], 2, None, strict=True)

    block = '{{"type":"block","number":1,"chain_id":{},"timestamp":1,"base_fee_per_gas":"1"}}\n'
    assert scan(block.format(137))["pools"] == 2
    for other in (block.format(5), ""):
        with pytest.raises(UsageError, match="2 tokens are called 'USDC'"):
            scan(other)
