from __future__ import annotations

from pathlib import PurePosixPath
from typing import Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from arbtui.domain.fields import AddressField
from arbtui.text import safe_text
from arbtui.units import Address

MULTICALL3 = Address("0xcA11bde05977b3631167028862bE2a173976CA11")

#: Chains on which real money lives: never a local chain, whatever a node says.
PUBLIC_CHAIN_IDS = frozenset({1, 10, 56, 100, 130, 137, 250, 324, 8453, 42161, 43114, 59144, 534352})


class ChainPolicy(BaseModel):
    """Which chain, through which nodes. Their addresses may carry keys and are never shown whole."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    #: A public chain whose data file fills in what the configuration leaves out (arbtui.chain.presets).
    preset: str | None = Field(default=None, max_length=32)
    name: str = Field(max_length=32)
    chain_id: int = Field(gt=0)
    rpc_url: SecretStr
    #: Further nodes, in the order in which they are asked where the first one fails.
    fallback_urls: tuple[SecretStr, ...] = Field(default=(), max_length=7)
    #: How many nodes have to say the same of what decides money; None: two, or the only one.
    agree_least: int | None = Field(default=None, ge=1, le=8)
    #: A websocket, or the path of a node's unix socket, that rings for new heads.
    push_url: SecretStr | None = None
    wrapped_native: AddressField
    native_symbol: str = Field(default="ETH", max_length=12)
    multicall: AddressField = MULTICALL3
    local: bool = False
    block_time_s: float = Field(default=12.0, gt=0, le=600)
    #: Seconds between looks for a new head.
    poll_interval_s: float = Field(default=0.1, ge=0.01, le=60)
    timeout_s: float = Field(default=5.0, gt=0, le=120)

    @field_validator("name", "native_symbol")
    @classmethod
    def _safe(cls, value: str) -> str:
        return safe_text(value)

    @field_validator("rpc_url")
    @classmethod
    def _http(cls, value: SecretStr) -> SecretStr:
        check_url(value.get_secret_value(), ("http", "https"))
        return value

    @field_validator("fallback_urls")
    @classmethod
    def _all_http(cls, values: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        for value in values:
            check_url(value.get_secret_value(), ("http", "https"))
        return values

    @field_validator("push_url")
    @classmethod
    def _pushes(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not is_socket_path(value.get_secret_value()):
            check_url(value.get_secret_value(), ("ws", "wss"), " or be an absolute path of a unix socket")
        return value

    @model_validator(mode="after")
    def _apart(self) -> Self:
        seen: dict[tuple[str, int, str], str] = {}
        for place, url in enumerate(self.node_urls()):
            key = "rpc_url" if place == 0 else f"fallback_urls.{place - 1}"
            other = seen.setdefault(_whose(url), key)
            if other != key:
                raise ValueError(
                    f"{key} is the same node as {other}: a node that agrees with itself proves nothing"
                )
        if self.agree_least is not None and self.agree_least > len(self.node_urls()):
            raise ValueError(
                f"agree_least is {self.agree_least}, but there are {len(self.node_urls())} nodes: nothing would ever"
                " be agreed; add to fallback_urls, or lower it"
            )
        return self

    def node_urls(self) -> tuple[str, ...]:
        """The nodes that are read from, in the order of preference. Secret."""
        return tuple(url.get_secret_value() for url in (self.rpc_url, *self.fallback_urls))

    @property
    def public(self) -> bool:
        return self.chain_id in PUBLIC_CHAIN_IDS


def is_socket_path(address: str) -> bool:
    """Whether a push address is the path of a unix socket, not a URL."""
    return address.isprintable() and PurePosixPath(address).is_absolute()


def check_url(url: str, schemes: tuple[str, ...], otherwise: str = "") -> None:
    """Raise ValueError unless `url` is an address of a host with one of these schemes; it never quotes the url."""
    if not url.startswith(tuple(f"{scheme}://" for scheme in schemes)):
        raise ValueError(f"must start with {' or '.join(f'{scheme}://' for scheme in schemes)}{otherwise}")
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host or not url.isprintable():
        raise ValueError(f"is no address of a host, such as {schemes[0]}://127.0.0.1:8545")


def _whose(url: str) -> tuple[str, int, str]:
    """What makes two addresses the same node: host, port and path; keys in user part or query do not."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return (parts.hostname or "").rstrip("."), port, parts.path.rstrip("/")
