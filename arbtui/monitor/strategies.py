"""How the gas strategies have fared on this chain: what `dynamic` leans on."""

from __future__ import annotations

import json
from collections import defaultdict, deque

from arbtui.gas import InclusionRecord
from arbtui.store import StoreReader
from arbtui.units import Address

#: Of each strategy so many of the newest sends count: fees of last month say little of today's.
NEWEST = 50
#: Executions of earlier runs that are looked at.
LOOKED_AT = 1_000


class StrategyRecord:
    """Fed with ended sends, oldest first. In a block, also as a revert, is what fees can do; a cancel is what they
    could not. A nonce that somebody else used, and what the node refused, say nothing of a strategy.
    """

    def __init__(self) -> None:
        self._ends: defaultdict[str, deque[bool]] = defaultdict(lambda: deque(maxlen=NEWEST))

    def ended(self, strategy: str, *, included: bool) -> None:
        self._ends[strategy].append(included)

    def records(self) -> dict[str, InclusionRecord]:
        return {name: InclusionRecord(len(ends), sum(ends)) for name, ends in self._ends.items()}


def strategy_record(reader: StoreReader, chain_id: int, wallet: Address) -> StrategyRecord:
    """The record of earlier runs on this chain with this wallet."""
    record = StrategyRecord()
    rows = reader.query(
        "SELECT t.ladder, e.status FROM execution AS e JOIN ticket AS t ON t.id = e.ticket_id"
        " JOIN run AS r ON r.id = e.run"
        " WHERE e.status IN ('mined', 'reverted', 'cancelled') AND r.chain_id = ? AND r.wallet = ?"
        " ORDER BY e.decided_at DESC, e.id DESC LIMIT ?",
        (chain_id, wallet, LOOKED_AT),
    )
    for row in reversed(rows):
        ladder = json.loads(row["ladder"])
        # Tickets of older versions do not say what `dynamic` stood for.
        if strategy := ladder.get("chosen") or ladder["strategy"]:
            record.ended(strategy, included=row["status"] != "cancelled")
    return record
