"""What own receipts say of each lender: the gas it costs, and how often an execution through it settles."""

from __future__ import annotations

import json
import statistics
from collections import Counter, defaultdict, deque
from collections.abc import Iterable

from arbtui.domain import LenderId, PoolKind
from arbtui.lenders import Track
from arbtui.store import StoreReader
from arbtui.units import Address
from arbtui.validation.checks import GAS_PRIOR_HOP, GAS_PRIOR_RUN

#: Receipts of a lender before its gas counts as measured, and how many of the newest the median is taken of.
MEASURED_AFTER = 3
NEWEST = 50
#: Executions of earlier runs that are looked at: more say little of the lenders as they are now.
LOOKED_AT = 1_000


class LenderRecord:
    """Fed with receipts, oldest first; starts from the store's and grows while a run goes on."""

    def __init__(self) -> None:
        self._gas: defaultdict[LenderId, deque[int]] = defaultdict(lambda: deque(maxlen=NEWEST))
        self._settled: Counter[LenderId] = Counter()
        self._executed: Counter[LenderId] = Counter()

    def mined(self, lender: LenderId, gas_used: int, hops: Iterable[PoolKind], *, success: bool) -> None:
        """One receipt of an execution over pools of these kinds."""
        self._executed[lender] += 1
        if success:
            self._settled[lender] += 1
            # What own capital would have used on this route; a lender's overhead is what goes beyond it.
            route = GAS_PRIOR_RUN + sum(GAS_PRIOR_HOP[kind] for kind in hops)
            self._gas[lender].append(max(0, gas_used - route))

    def overheads(self) -> dict[LenderId, int]:
        """Median gas over own capital of the newest receipts, for lenders with MEASURED_AFTER of them."""
        return {
            lender: int(statistics.median(seen))
            for lender, seen in self._gas.items()
            if len(seen) >= MEASURED_AFTER
        }

    def tracks(self) -> dict[LenderId, Track]:
        return {lender: Track(self._settled[lender], count) for lender, count in self._executed.items()}


def lender_record(reader: StoreReader, chain_id: int, executor: Address) -> LenderRecord:
    """The record of earlier runs with this very executor; another contract uses other gas."""
    record = LenderRecord()
    rows = reader.query(
        "SELECT e.lender, e.status, s.gas_used, o.path FROM execution AS e"
        " JOIN run AS r ON r.id = e.run JOIN settlement AS s ON s.execution_id = e.id"
        " JOIN ticket AS t ON t.id = e.ticket_id"
        " JOIN opportunity AS o ON o.run = t.run AND o.id = t.opportunity_id"
        " WHERE e.status IN ('mined', 'reverted') AND r.chain_id = ? AND r.executor = ?"
        " ORDER BY e.decided_at DESC, e.id DESC LIMIT ?",
        (chain_id, executor, LOOKED_AT),
    )
    known = {str(lender) for lender in LenderId}
    for row in reversed(rows):
        if row["lender"] in known:
            kinds = [PoolKind(hop["kind"]) for hop in json.loads(row["path"])]
            record.mined(
                LenderId(row["lender"]), int(row["gas_used"]), kinds, success=row["status"] == "mined"
            )
    return record
