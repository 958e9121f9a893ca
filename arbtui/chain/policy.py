from __future__ import annotations

from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from arbtui.domain.fields import AddressField
from arbtui.text import safe_text
from arbtui.units import Address

MULTICALL3 = Address("0xcA11bde05977b3631167028862bE2a173976CA11")

#: Chains on which real money lives: never a local chain, whatever a node says.
PUBLIC_CHAIN_IDS = frozenset({1, 10, 56, 100, 130, 137, 250, 324, 8453, 42161, 43114, 59144, 534352})


class ChainPolicy(BaseModel):
    """Which chain, through which node. `rpc_url` may carry a key and is never shown whole."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    #: A public chain whose data file fills in what the configuration leaves out (arbtui.chain.presets).
    preset: str | None = Field(default=None, max_length=32)
    name: str = Field(max_length=32)
    chain_id: int = Field(gt=0)
    rpc_url: SecretStr
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
        url = value.get_secret_value()
        if not url.startswith(("http://", "https://")):
            raise ValueError("must start with http:// or https://")
        try:
            host = urlsplit(url).hostname
        except ValueError:
            host = None
        if not host or not url.isprintable():
            raise ValueError("is no address of a host, such as http://127.0.0.1:8545")
        return value
