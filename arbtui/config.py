"""Configuration: one TOML, every room's own policy in it, every violation reported at once.

Order: command line > environment (``ARBTUI_CHAIN__RPC_URL=…``) > the file > defaults. The file is ``--config``, else
``$ARBTUI_CONFIG``, else ``arbtui.toml`` here, else in the user's configuration directory.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from pathlib import Path
from typing import Any, ClassVar, Self, get_args

from platformdirs import user_config_path
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict
from pydantic_settings.exceptions import SettingsError

from arbtui.chain.policy import ChainPolicy
from arbtui.domain import PoolKind, Token
from arbtui.domain.fields import AddressField
from arbtui.engine.policy import SearchPolicy, TicketPolicy, WalletPolicy, WatchPolicy
from arbtui.errors import ConfigError
from arbtui.gas import GasPolicy
from arbtui.lenders import LendersPolicy
from arbtui.market.filters import DiscoveryPolicy
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
    validation: ValidationPolicy = ValidationPolicy()
    lenders: LendersPolicy = LendersPolicy()
    discovery: DiscoveryPolicy = DiscoveryPolicy()
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
            found = [entry.address for entry in self.tokens if entry.called(name)]
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
        return tuple(
            next(entry.address for entry in self.tokens if entry.called(name))
            for name in self.search.base_tokens
        )

    def token_map(self) -> dict[Address, Token]:
        return {entry.address: entry.token() for entry in self.tokens}


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
