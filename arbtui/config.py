"""Configuration: one TOML, every room's own policy in it, every violation reported at once.

Order: command line > environment (``ARBTUI_CHAIN__RPC_URL=…``) > the file > defaults. The file is ``--config``, else
``$ARBTUI_CONFIG``, else ``arbtui.toml`` here, else in the user's configuration directory.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Self, get_args

from platformdirs import user_config_path
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict
from pydantic_settings.exceptions import SettingsError

from arbtui.chain.policy import PUBLIC_CHAIN_IDS, ChainPolicy
from arbtui.chain.presets import Preset, preset, preset_of_chain
from arbtui.chain.relays import RelayPolicy
from arbtui.domain import PoolKind, Token
from arbtui.domain.fields import AddressField
from arbtui.engine.policy import (
    ReconciliationPolicy,
    SearchPolicy,
    TicketPolicy,
    WalletPolicy,
    WatchPolicy,
)
from arbtui.errors import ConfigError, UsageError
from arbtui.gas import GasPolicy
from arbtui.lenders import LendersPolicy
from arbtui.market.filters import DiscoveryPolicy
from arbtui.market.state import find_token
from arbtui.monitor.policy import AlertsPolicy
from arbtui.text import safe_text
from arbtui.units import Address
from arbtui.validation import ValidationPolicy

FILE_NAME = "arbtui.toml"


class TokenEntry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    address: AddressField
    symbol: str = Field(min_length=1, max_length=64)
    decimals: int = Field(ge=0, le=77)

    def token(self) -> Token:
        return Token(self.address, safe_text(self.symbol, 16), self.decimals)

    def called(self, text: str) -> bool:
        """Whether `text` names this token: its symbol as the file or as the screen has it, or its address."""
        return text in (self.symbol, safe_text(self.symbol, 16)) or text.lower() == self.address.lower()


class PoolEntry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    address: AddressField
    dex: str = Field(min_length=1, max_length=32)
    kind: PoolKind
    token0: AddressField
    token1: AddressField
    fee_ppm: int = Field(ge=0, lt=1_000_000)
    tick_spacing: int | None = Field(default=None, gt=0, le=16_384)

    @field_validator("dex")
    @classmethod
    def _safe(cls, value: str) -> str:
        return safe_text(value)

    @model_validator(mode="after")
    def _shape(self) -> Self:
        if int(self.token0, 16) >= int(self.token1, 16):
            raise ValueError("token0 must be the lower address of the two")
        if self.kind is PoolKind.UNISWAP_V3 and self.tick_spacing is None:
            raise ValueError("a uniswap_v3 pool needs tick_spacing")
        return self


class StorePolicy(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    directory: Path
    keep_days: int = Field(default=0, ge=0, le=36_500)


class Config(BaseSettings):
    """The whole configuration; a room is handed its own part, never this."""

    model_config = SettingsConfigDict(
        extra="forbid",
        frozen=True,
        env_prefix="ARBTUI_",
        env_nested_delimiter="__",
        hide_input_in_errors=True,
    )

    chain: ChainPolicy
    wallet: WalletPolicy
    store: StorePolicy
    search: SearchPolicy
    watch: WatchPolicy = WatchPolicy()
    tickets: TicketPolicy = TicketPolicy()
    gas: GasPolicy = GasPolicy()
    relays: RelayPolicy = RelayPolicy()
    validation: ValidationPolicy = ValidationPolicy()
    lenders: LendersPolicy = LendersPolicy()
    discovery: DiscoveryPolicy = DiscoveryPolicy()
    reconciliation: ReconciliationPolicy = ReconciliationPolicy()
    alerts: AlertsPolicy = AlertsPolicy()
    tokens: tuple[TokenEntry, ...] = Field(min_length=1)
    pools: tuple[PoolEntry, ...] = ()

    source: ClassVar[str] = ""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the signature is pydantic-settings'
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return env_settings, init_settings

    @model_validator(mode="before")
    @classmethod
    def _preset(cls, values: Any) -> Any:
        chain = values.get("chain") if isinstance(values, dict) else None
        name = chain.get("preset") if isinstance(chain, dict) else None
        return values if not isinstance(name, str) else with_preset(values, name)

    @model_validator(mode="after")
    def _whole(self) -> Self:
        known = {entry.address for entry in self.tokens}
        problems = [
            f"pools: {p.address} trades a token that [[tokens]] does not list"
            for p in self.pools
            if p.token0 not in known or p.token1 not in known
        ]
        for what, addresses in (
            ("tokens", [t.address for t in self.tokens]),
            ("pools", [p.address for p in self.pools]),
        ):
            problems += [
                f"{what}: {a} stands there twice"
                for a in sorted({a for a in addresses if addresses.count(a) > 1})
            ]
        for name in self.search.base_tokens:
            found = [entry.address for entry in self._called(name)]
            shown = safe_text(name)
            if not found:
                problems.append(
                    f"search.base_tokens: {shown!r} is neither a symbol nor an address in [[tokens]]"
                )
            elif len(found) > 1:
                problems.append(
                    f"search.base_tokens: {shown!r} names several tokens; give an address: {', '.join(found)}"
                )
        if self.chain.wrapped_native not in known:
            problems.append(f"chain.wrapped_native: {self.chain.wrapped_native} is not in [[tokens]]")
        if problems:
            raise ValueError("\n".join(problems))
        return self

    def bases(self) -> tuple[Address, ...]:
        """The base tokens' addresses, in the order of the configuration."""
        return tuple(self._called(name)[0].address for name in self.search.base_tokens)

    def token_map(self) -> dict[Address, Token]:
        return {entry.address: entry.token() for entry in self.tokens}

    def token(self, text: str, further: Mapping[Address, Token] = MappingProxyType({})) -> Token:
        """A configured token, or one of `further`, by symbol or address; a shared symbol means the preset's.

        Raises UsageError where there is none, or where a symbol names several and no preset knows it.
        """
        tokens, known = {**further, **self.token_map()}, self.known_chain()
        try:
            return find_token(tokens, text)
        except UsageError:
            meant = known.meant_by(text) if known else None
            if meant not in tokens:
                raise
            return tokens[meant]

    def _called(self, text: str) -> list[TokenEntry]:
        """The tokens that `text` names; of several the one that the chain's preset means by it."""
        found = [entry for entry in self.tokens if entry.called(text)]
        if len(found) > 1 and (known := self.known_chain()) is not None:
            meant = [entry for entry in found if entry.address == known.meant_by(text)]
            return meant or found
        return found

    def known_chain(self) -> Preset | None:
        """The preset of this chain: the one that is named, else that of its id."""
        return preset(self.chain.preset) if self.chain.preset else preset_of_chain(self.chain.chain_id)


def with_preset(values: dict[str, Any], name: str) -> dict[str, Any]:
    """`values` over what the preset says; tokens are joined by address, a lender is replaced whole.

    Raises ValueError for a preset that does not exist, or of another public chain.
    """
    try:
        chosen = preset(name)
    except ConfigError as error:
        raise ValueError(f"chain.preset: {error}") from error
    base = chosen.settings()
    out = {**base, **values}
    for part in ("chain", "search", "lenders"):
        given = values.get(part, {})
        out[part] = {**base[part], **given} if isinstance(given, dict) else given
    chain_id = out["chain"]["chain_id"]
    if chain_id != chosen.chain_id and chain_id in PUBLIC_CHAIN_IDS:
        raise ValueError(
            f"chain.chain_id: {chain_id} is another public chain than preset {name} ({chosen.chain_id})"
        )
    tokens = values.get("tokens", [])
    if isinstance(tokens, list | tuple):
        mine = {str(entry.get("address", "")).lower() for entry in tokens if isinstance(entry, dict)}
        out["tokens"] = [*tokens, *(e for e in base["tokens"] if e["address"].lower() not in mine)]
    return out


def find_config(given: str | None) -> Path:
    """The file to read; raises ConfigError naming where it was looked for."""
    if given:
        return Path(given)
    if env := os.environ.get("ARBTUI_CONFIG"):
        return Path(env)
    places = [Path.cwd() / FILE_NAME, user_config_path("arbtui") / FILE_NAME]
    for place in places:
        if place.is_file():
            return place
    raise ConfigError(
        f"no configuration: neither --config nor $ARBTUI_CONFIG is given and there is no {places[0]} or {places[1]}; "
        "`arbtui devnet up` writes one for a local chain"
    )


def load_config(given: str | None = None) -> Config:
    """Read, check and freeze. Raises ConfigError with every violation, one a line."""
    path = find_config(given)
    try:
        values = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(
            f"{path}: there is no such file; `arbtui devnet up` writes one for a local chain"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read as text ({type(error).__name__})") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not valid TOML: {safe_text(error, 200)}") from error
    except RecursionError as error:
        raise ConfigError(f"{path}: not valid TOML: nested too deep") from error
    if (
        "store" in values
        and isinstance(values["store"], dict)
        and isinstance(values["store"].get("directory"), str)
    ):
        # A relative store belongs beside its configuration, wherever the command is run from.
        values["store"]["directory"] = str(path.resolve().parent / values["store"]["directory"])
    # Names that pydantic-settings takes for itself would never reach the model's own check.
    own = tuple(
        f"{safe_text(key)}: there is no such key" for key in values if key.startswith("_") or key == "self"
    )
    if own:
        raise ConfigError(f"{path}: {'; '.join(own)}", own)
    try:
        return Config(**values)
    except SettingsError as error:
        raise ConfigError(f"the environment: {safe_text(_environment(error), 200)}") from error
    except ValidationError as error:
        problems = tuple(
            line
            for item in error.errors(include_url=False, include_input=False)
            for line in _problem(item).splitlines()
        )
        raise ConfigError(f"{path}: {'; '.join(problems)}", problems) from error


def _environment(error: SettingsError) -> str:
    field = re.search(r'field "(\w+)"', str(error))
    name = f"ARBTUI_{field[1].upper()}" if field else "a variable of ARBTUI_"
    return f'{name} (or one of its parts) must be JSON, such as ["WETH"] for a list'


def _problem(item: Any) -> str:
    where = ".".join(safe_text(part) for part in item["loc"])
    message = item["msg"].removeprefix("Value error, ")
    if item["type"] == "extra_forbidden":
        near = difflib.get_close_matches(str(item["loc"][-1]), _known_keys(item["loc"][:-1]), n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        return f"{where}: there is no such key{hint}"
    if item["type"] == "missing":
        return f"{where}: is missing"
    return f"{where}: {message}" if where else message


def _known_keys(location: tuple[Any, ...]) -> list[str]:
    """The keys of the model at `location`; a list's items and an optional model are looked through."""
    model: Any = Config
    for part in location:
        if isinstance(part, int):
            model = next((a for a in get_args(model) if hasattr(a, "model_fields")), None)
            continue
        info = getattr(model, "model_fields", {}).get(part)
        if info is None:
            return []
        model = info.annotation
        if type(None) in get_args(model):
            model = next((a for a in get_args(model) if hasattr(a, "model_fields")), model)
    return list(getattr(model, "model_fields", {}))
