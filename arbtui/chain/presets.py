"""What is known of public chains before a node is asked: data files in `deployments/`, one a chain.

Every address there names the public document it was read in. Nothing in them is believed at run time: chain id and
code are checked at every start, and contracts that turn are resolved through their registries.
"""

from __future__ import annotations

import difflib
import tomllib
from functools import lru_cache
from importlib.resources import files
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from arbtui.domain import PoolKind
from arbtui.domain.fields import AddressField
from arbtui.errors import ConfigError
from arbtui.text import safe_text
from arbtui.units import Address


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PresetToken(_Frozen):
    """`symbol` is unlike every other of its preset, whatever the contracts call themselves."""

    symbol: str
    address: AddressField
    decimals: int = Field(ge=0, le=77)
    source: str


class PresetLender(_Frozen):
    """A lender's contract, or the registry that is asked for it."""

    address: AddressField | None = None
    registry: AddressField | None = None
    source: str

    def settings(self) -> dict[str, str]:
        """The keys of `lenders.…` in a configuration."""
        return {"address": self.address} if self.address else {"registry": str(self.registry)}


class PresetDex(_Frozen):
    """A factory whose pools have one creation code, so that a pool's address proves where it comes from.

    `fees_ppm` are the fees its pools may have. All listed ones call back by Uniswap's own names.
    """

    name: str
    kind: PoolKind
    factory: AddressField
    init_code_hash: str = Field(pattern="^0x[0-9a-f]{64}$")
    fees_ppm: tuple[int, ...] = Field(min_length=1)
    source: str
    code_source: str


LenderName = Literal["aave_v2", "aave_v3", "spark", "prime", "balancer_v2", "maker", "erc3156", "morpho"]


class Preset(_Frozen):
    """One public chain."""

    name: str
    chain_id: int
    native_symbol: str
    block_time_s: float
    wrapped_native: str
    base_tokens: tuple[str, ...]
    #: Name -> the public document.
    sources: dict[str, str]
    tokens: tuple[PresetToken, ...]
    lenders: dict[LenderName, PresetLender]
    dexes: tuple[PresetDex, ...]

    @model_validator(mode="after")
    def _whole(self) -> Self:
        named = {token.source for token in self.tokens} | {dex.code_source for dex in self.dexes}
        named |= {item.source for item in self.lenders.values()} | {dex.source for dex in self.dexes}
        if unknown := named - set(self.sources):
            raise ValueError(f"sources: {', '.join(sorted(unknown))} is named and not there")
        for symbol in (self.wrapped_native, *self.base_tokens):
            if symbol not in self.symbols:
                raise ValueError(f"tokens: {symbol} is not there")
        return self

    @property
    def symbols(self) -> dict[str, Address]:
        """Which token a symbol means on this chain."""
        return {token.symbol: token.address for token in self.tokens}

    def meant_by(self, symbol: str) -> Address | None:
        """The token that a symbol, in any case, means on this chain."""
        folded = {name.casefold(): address for name, address in self.symbols.items()}
        return folded.get(symbol.casefold())

    def settings(self) -> dict[str, Any]:
        """The parts of a configuration that this chain decides, as its TOML would have them."""
        exchanges = {kind: sorted({dex.name for dex in self.dexes if dex.kind is kind}) for kind in PoolKind}
        return {
            "chain": {
                "name": self.name,
                "chain_id": self.chain_id,
                "native_symbol": self.native_symbol,
                "block_time_s": self.block_time_s,
                "wrapped_native": self.symbols[self.wrapped_native],
            },
            "search": {"base_tokens": [self.symbols[symbol] for symbol in self.base_tokens]},
            "tokens": [
                {"address": token.address, "symbol": token.symbol, "decimals": token.decimals}
                for token in self.tokens
            ],
            "lenders": {
                **{name: lender.settings() for name, lender in self.lenders.items()},
                "uniswap_v2": {"dexes": exchanges[PoolKind.UNISWAP_V2]},
                "flash_swap": {"dexes": exchanges[PoolKind.UNISWAP_V2]},
                "uniswap_v3": {"dexes": exchanges[PoolKind.UNISWAP_V3]},
            },
        }


@lru_cache
def presets() -> dict[str, Preset]:
    """Every preset by name."""
    folder = files("arbtui.chain") / "deployments"
    found = [
        Preset.model_validate(tomllib.loads(item.read_text("utf-8")))
        for item in folder.iterdir()
        if item.name.endswith(".toml")
    ]
    return {preset.name: preset for preset in sorted(found, key=lambda preset: preset.name)}


def preset(name: str) -> Preset:
    """The preset of that name; raises ConfigError with those there are."""
    known = presets()
    if name in known:
        return known[name]
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    raise ConfigError(f"there is no preset {safe_text(name, 32)!r}{hint} (there are: {', '.join(known)})")


def preset_of_chain(chain_id: int | None) -> Preset | None:
    """The preset of a chain id, if there is one."""
    return next((item for item in presets().values() if item.chain_id == chain_id), None)
