"""The address book of a deployed local chain, as JSON for programs and as a ready `arbtui.toml`."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from arbtui.devnet.anvil import CHAIN_ID
from arbtui.errors import DevnetError
from arbtui.units import Address

LENDERS = ("aave_v2", "aave_v3", "balancer_v2", "maker")


@dataclass(frozen=True, slots=True)
class BookToken:
    address: Address
    symbol: str
    decimals: int


@dataclass(frozen=True, slots=True)
class BookPool:
    """`tick_spacing` is 0 for a Uniswap V2 pair."""

    address: Address
    dex: str
    kind: str
    token0: Address
    token1: Address
    fee_ppm: int
    tick_spacing: int = 0


@dataclass(frozen=True, slots=True)
class BookFactory:
    """`fee_ppm` is 0 for Uniswap V3, whose pools carry their own."""

    address: Address
    dex: str
    kind: str
    fee_ppm: int = 0


@dataclass(frozen=True, slots=True)
class AddressBook:
    """Everything that stands on the chain. The last fields belong to one run and are empty in the cache."""

    accounts: tuple[Address, ...]
    tokens: tuple[BookToken, ...]
    pools: tuple[BookPool, ...]
    lenders: dict[str, Address]
    executor: Address
    wallet: Address
    treasury: Address
    multicall: Address
    trader: Address
    traders: tuple[Address, ...]
    seed: int
    transactions: int
    rpc_url: str = ""
    ws_url: str = ""
    pid: int = 0
    config: str = ""
    chain_id: int = field(default=CHAIN_ID)
    factories: tuple[BookFactory, ...] = ()

    def token(self, symbol: str) -> BookToken:
        """The token of that symbol; raises KeyError."""
        for token in self.tokens:
            if token.symbol == symbol:
                return token
        raise KeyError(symbol)

    def token_at(self, address: str) -> BookToken:
        """The token at that address; raises KeyError."""
        for token in self.tokens:
            if token.address == address:
                return token
        raise KeyError(address)

    def pools_of(self, symbol_a: str, symbol_b: str) -> tuple[BookPool, ...]:
        """Every pool of two tokens, in the order of deployment."""
        wanted = {self.token(symbol_a).address, self.token(symbol_b).address}
        return tuple(pool for pool in self.pools if {pool.token0, pool.token1} == wanted)

    def at(self, rpc_url: str, pid: int, config: Path) -> Self:
        """The book of one run: where its node listens, who owns it, where its configuration is."""
        ws_url = rpc_url.replace("http://", "ws://", 1)
        return replace(self, rpc_url=rpc_url, ws_url=ws_url, pid=pid, config=str(config))

    def to_json(self) -> dict[str, Any]:
        """The object that `arbtui devnet up --json` prints."""
        return {
            "rpc_url": self.rpc_url,
            "ws_url": self.ws_url,
            "chain_id": self.chain_id,
            "pid": self.pid,
            "config": self.config,
            "accounts": [{"address": address} for address in self.accounts],
            "tokens": {t.symbol: {"address": t.address, "decimals": t.decimals} for t in self.tokens},
            "pools": [_pool_json(pool) for pool in self.pools],
            "factories": [
                {"address": f.address, "dex": f.dex, "kind": f.kind, "fee_ppm": f.fee_ppm}
                for f in self.factories
            ],
            "lenders": {name: {"address": address} for name, address in self.lenders.items()},
            "executor": {"address": self.executor},
            "wallet": self.wallet,
            "treasury": self.treasury,
            "multicall": self.multicall,
            "trader": self.trader,
            "traders": list(self.traders),
            "seed": self.seed,
            "transactions": self.transactions,
        }

    @classmethod
    def from_json(cls, raw: Any) -> Self:
        """The inverse of `to_json`. Raises DevnetError where something is missing or of another type."""
        try:
            return cls(
                accounts=tuple(Address(str(item["address"])) for item in raw["accounts"]),
                tokens=tuple(
                    BookToken(Address(str(t["address"])), str(symbol), int(t["decimals"]))
                    for symbol, t in raw["tokens"].items()
                ),
                pools=tuple(
                    BookPool(
                        Address(str(p["address"])),
                        str(p["dex"]),
                        str(p["kind"]),
                        Address(str(p["token0"])),
                        Address(str(p["token1"])),
                        int(p["fee_ppm"]),
                        int(p.get("tick_spacing", 0)),
                    )
                    for p in raw["pools"]
                ),
                lenders={name: Address(str(raw["lenders"][name]["address"])) for name in LENDERS},
                executor=Address(str(raw["executor"]["address"])),
                wallet=Address(str(raw["wallet"])),
                treasury=Address(str(raw["treasury"])),
                multicall=Address(str(raw["multicall"])),
                trader=Address(str(raw["trader"])),
                traders=tuple(Address(str(item)) for item in raw["traders"]),
                seed=int(raw["seed"]),
                transactions=int(raw["transactions"]),
                rpc_url=str(raw["rpc_url"]),
                ws_url=str(raw["ws_url"]),
                pid=int(raw["pid"]),
                config=str(raw["config"]),
                chain_id=int(raw["chain_id"]),
                factories=tuple(
                    BookFactory(Address(str(f["address"])), str(f["dex"]), str(f["kind"]), int(f["fee_ppm"]))
                    for f in raw["factories"]
                ),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DevnetError(
                f"an address book that lacks something: {type(error).__name__} {error}"
            ) from error

    def to_toml(self, store: Path, block_time: int = 0) -> str:
        """A configuration for this chain. `store` is the folder of the store; `block_time` in seconds, 0 if unset."""
        symbols = {token.address: token.symbol for token in self.tokens}
        lines = [
            "# Written by `arbtui devnet up`; made anew at each start.",
            "[chain]",
            'name = "local"',
            f"chain_id = {self.chain_id}",
            f"rpc_url = {_text(self.rpc_url)}",
            f"push_url = {_text(self.ws_url)}",
            'native_symbol = "ETH"',
            f"wrapped_native = {_text(self.token('WETH').address)}",
            f"multicall = {_text(self.multicall)}",
            "local = true",
            f"block_time_s = {block_time or 1}",
            "",
            "[wallet]",
            f"address = {_text(self.wallet)}",
            f"executor = {_text(self.executor)}",
            f"treasury = {_text(self.treasury)}",
            "",
            "[store]",
            f"directory = {_text(str(store))}",
            "",
            "[search]",
            'base_tokens = ["WETH", "USDC", "DAI", "WBTC", "USDT"]',
        ]
        for token in self.tokens:
            lines += [
                "",
                "[[tokens]]",
                f"address = {_text(token.address)}",
                f"symbol = {_text(token.symbol)}",
                f"decimals = {token.decimals}",
            ]
        for pool in self.pools:
            lines += [
                "",
                f"[[pools]]  # {symbols[pool.token0]}/{symbols[pool.token1]}",
                f"address = {_text(pool.address)}",
                f"dex = {_text(pool.dex)}",
                f"kind = {_text(pool.kind)}",
                f"token0 = {_text(pool.token0)}",
                f"token1 = {_text(pool.token1)}",
                f"fee_ppm = {pool.fee_ppm}",
            ]
            if pool.tick_spacing:
                lines.append(f"tick_spacing = {pool.tick_spacing}")
        for factory in self.factories:
            lines += [
                "",
                "[[discovery.factories]]  # finds pools made later; those above are known already",
                f"dex = {_text(factory.dex)}",
                f"kind = {_text(factory.kind)}",
                f"address = {_text(factory.address)}",
            ]
            if factory.fee_ppm:
                lines.append(f"fee_ppm = {factory.fee_ppm}")
        for name, address in self.lenders.items():
            lines += ["", f"[lenders.{name}]", f"address = {_text(address)}"]
            if name == "maker":
                lines.append("stand_in = true")
        # At a hundredth of a percent and up it would leave Aave v2 nothing to win.
        lines += ["", "[lenders.uniswap_v3]", "enabled = false"]
        # It costs nothing, and would take every cycle of V2 pairs: set it to true to see that.
        lines += ["", "[lenders.flash_swap]", "enabled = false"]
        return "\n".join(lines) + "\n"


def _text(value: str) -> str:
    # Every JSON string that json.dumps makes is a TOML basic string too.
    return json.dumps(value)


def _pool_json(pool: BookPool) -> dict[str, Any]:
    out: dict[str, Any] = {
        "address": pool.address,
        "dex": pool.dex,
        "kind": pool.kind,
        "token0": pool.token0,
        "token1": pool.token1,
        "fee_ppm": pool.fee_ppm,
    }
    if pool.tick_spacing:
        out["tick_spacing"] = pool.tick_spacing
    return out
