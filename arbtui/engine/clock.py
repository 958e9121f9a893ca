from __future__ import annotations

import time
from datetime import UTC, datetime


class SystemClock:
    def monotonic(self) -> float:
        return time.monotonic()

    def wall(self) -> float:
        return time.time()

    def utc(self) -> str:
        return datetime.now(UTC).isoformat(timespec="microseconds")
