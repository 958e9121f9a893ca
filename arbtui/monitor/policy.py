from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from arbtui.monitor.rules import RULES
from arbtui.units import ETHER


class AlertsPolicy(BaseModel):
    """When somebody is told, and where. Each of `urls` is an apprise address and a secret."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    urls: tuple[SecretStr, ...] = ()
    #: Seconds between looks, and between two messages about one thing that are not urgent.
    every_s: float = Field(default=5.0, ge=0.1, le=600)
    cooldown_s: int = Field(default=300, ge=0, le=86_400)
    #: Rules that are not wanted.
    off: tuple[str, ...] = ()
    ticket_above_wei: int = Field(default=ETHER // 20, ge=0)
    #: Any loss of a mined trade is told; of reverts and cancels those that cost more than this.
    loss_above_wei: int = Field(default=ETHER // 20, ge=0)
    low_gas_wei: int = Field(default=ETHER // 10, ge=0)
    #: Blocks without a new one until the node counts as stale.
    stale_blocks: int = Field(default=5, ge=1, le=10_000)
    stuck_s: int = Field(default=180, ge=1, le=86_400)
    #: Bounds over the last `window_s`, once so many executions were delivered.
    min_success_rate: float = Field(default=0.5, ge=0, le=1)
    min_realised_share: float = Field(default=0.7, ge=0, le=1)
    window_s: int = Field(default=86_400, ge=60, le=31 * 86_400)
    at_least: int = Field(default=10, ge=1, le=100_000)
    disk_free_mb: int = Field(default=1_024, ge=0)
    #: Hour of the day, UTC, of the daily summary; -1 for none.
    summary_hour: int = Field(default=7, ge=-1, le=23)

    @field_validator("off")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if unknown := sorted(set(value) - set(RULES)):
            raise ValueError(f"there is no rule {unknown[0]!r}; there are {', '.join(RULES)}")
        return value

    @field_validator("urls")
    @classmethod
    def _shaped(cls, value: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        for number, url in enumerate(value, 1):
            if "://" not in url.get_secret_value() or not url.get_secret_value().isprintable():
                raise ValueError(f"number {number} is no address such as mailtos://… or tgram://…")
        return value
