"""A live engine that kills itself at one step of its journal: `python -m arbtui.drills.dying CONFIG "after reserve"`.

It waits for a line on standard input first, so that its imports are done when it is wanted; it ends with its parent.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys

from arbtui.approval import ApproveMode
from arbtui.bootstrap import open_engine
from arbtui.config import load_config
from arbtui.devnet.anvil import end_with_parent
from arbtui.domain import FINAL_STATUSES, Attempt, Delivery, ExecutionStatus, Stage
from arbtui.execution import Intent, Sighting
from arbtui.store import SqliteJournal


def dying_at(cut: str) -> type[SqliteJournal]:
    """A journal that ends its process by SIGKILL at the first step of that name: `before` or `after` it, and
    `after end` after the first final move.
    """

    def at(moment: str) -> None:
        if moment == cut:
            os.kill(os.getpid(), signal.SIGKILL)

    class Dying(SqliteJournal):
        def intend(self, intent: Intent) -> None:
            at("before intend")
            super().intend(intent)
            at("after intend")

        def reserve(self, attempt: Attempt) -> None:
            at("before reserve")
            super().reserve(attempt)
            at("after reserve")

        def outcome(self, execution_id: str, number: int, delivery: Delivery, error: str) -> None:
            at("before outcome")
            super().outcome(execution_id, number, delivery, error)
            at("after outcome")

        def seen(self, execution_id: str, sighting: Sighting) -> None:
            at("before seen")
            super().seen(execution_id, sighting)
            at("after seen")

        def move(self, execution_id: str, status: ExecutionStatus, reason: str) -> None:
            super().move(execution_id, status, reason)
            at("after end" if status in FINAL_STATUSES else "after move")

        def finish(self, execution_id: str, block_number: int) -> None:
            super().finish(execution_id, block_number)
            at("after finish")

    return Dying


async def _main(config_path: str, cut: str) -> None:
    async with open_engine(
        load_config(config_path), Stage.LIVE, ApproveMode.ALL, lambda _: None, journal_type=dying_at(cut)
    ) as engine:
        await engine.run(60, asyncio.Event())


if __name__ == "__main__":
    end_with_parent()
    if sys.stdin.readline():
        asyncio.run(_main(sys.argv[1], sys.argv[2]))
