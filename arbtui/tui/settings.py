from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from arbtui.domain import Token
from arbtui.units import Address


@dataclass(frozen=True, slots=True)
class DeskSettings:
    """What a desk is told by the command line; it reads no configuration of its own.

    `owns_engine`: leaving asks whether the engine goes on. `tokens` names what the store does not (the tokens between
    the first and the last hop).
    """

    directory: Path
    family: Literal["live", "paper"]
    chain_name: str
    native_symbol: str
    block_time_s: float
    owns_engine: bool
    read_only: bool = False
    ascii: bool = False
    tokens: Mapping[Address, Token] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DeskExit:
    """How the desk was left."""

    stop_engine: bool
