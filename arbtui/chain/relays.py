"""Private relays: bytes that no public node may see before they are mined."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, SecretStr, field_validator

from arbtui.chain.codec import hash32
from arbtui.chain.policy import check_url
from arbtui.chain.rpc import JsonRpc
from arbtui.text import safe_text

_METHOD = "eth_sendPrivateTransaction"


class RelayPolicy(BaseModel):
    """One private relay. With one, every trade goes there and nowhere else; without, to the public pool."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    #: Address of a relay that takes eth_sendPrivateTransaction; none: trades go to the public pool. Secret.
    url: SecretStr | None = None

    @field_validator("url")
    @classmethod
    def _http(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            check_url(value.get_secret_value(), ("http", "https"))
        return value


class Relay:
    """`execution.ports.PrivateSender` over one connection. Raises as `Node.send_raw` does."""

    def __init__(self, rpc: JsonRpc, name: str) -> None:
        self._rpc = rpc
        self.name = name

    async def send_private(self, raw: bytes, last_block: int) -> str:
        """Hand signed bytes over, once, to be included up to `last_block`; the hash the relay answers."""
        params = [{"tx": "0x" + raw.hex(), "maxBlockNumber": hex(last_block)}]
        return hash32(await self._rpc.call(_METHOD, params), _METHOD)


@asynccontextmanager
async def open_relay(policy: RelayPolicy, timeout_s: float) -> AsyncIterator[Relay | None]:
    """The configured relay, connected at its first use; None where there is none."""
    if policy.url is None:
        yield None
        return
    url = policy.url.get_secret_value()
    async with JsonRpc(url, timeout_s) as rpc:
        yield Relay(rpc, safe_text(urlsplit(url).hostname or "", 60))
