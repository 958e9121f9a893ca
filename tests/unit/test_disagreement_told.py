"""That nodes do not agree is told once, until they do: also where a person decides, and nothing is sent."""

from __future__ import annotations

from typing import Any, cast

import pytest

from arbtui.domain import CheckResult, Ticket
from arbtui.engine.deciding import AGREEMENT
from arbtui.engine.engine import Engine, Tally
from arbtui.engine.moves import Moves
from tests import factories as make


def check(agreed: int, least: int = 1) -> CheckResult:
    return CheckResult.at_least(AGREEMENT, agreed, least, "nodes that agree", "who said what")


class Rechecking:
    """A decider whose nodes agree as a test says."""

    def __init__(self) -> None:
        self.agreement = check(2)
        self.least: list[int | None] = []

    async def still_good(
        self, ticket: Ticket, *_: object, least: int | None = None
    ) -> tuple[Ticket | None, tuple[CheckResult, ...]]:
        self.least.append(least)
        return (ticket if self.agreement.passed else None), (self.agreement,)


@pytest.fixture
def watched() -> tuple[Engine, Rechecking]:
    """What of an engine re-checks waiting tickets."""
    engine, decider = Engine.__new__(Engine), Rechecking()
    parts: dict[str, Any] = {
        "_decider": decider, "_waiting": [], "_approved": {}, "_seen": set(), "_rows": [], "_agreeing": True,
        "_moves": Moves(), "_say": lambda _: None, "tally": Tally(),
    }  # fmt: skip
    for name, part in parts.items():
        setattr(engine, name, part)
    return engine, decider


class Told:
    """A batch of which only incidents are read."""

    def __init__(self) -> None:
        self.kinds: list[str] = []

    def incident(self, kind: str, _: str) -> None:
        self.kinds.append(kind)

    def __getattr__(self, _: str) -> Any:
        return lambda *__, **___: None


async def test_it_is_told_once_until_they_agree_again_also_while_tickets_only_wait(
    watched: tuple[Engine, Rechecking],
) -> None:
    engine, decider = watched

    async def block(agreement: CheckResult) -> list[str]:
        decider.agreement = agreement
        engine._waiting = [make.ticket()]
        await engine._refresh(cast("Any", make.opportunity()), cast("Any", None))
        batch = Told()
        for write in engine._take_rows():
            write(cast("Any", batch))
        return batch.kinds

    assert await block(check(2)) == []
    assert await block(check(0)) == ["disagree"]
    assert await block(check(0)) == []
    assert await block(check(1)) == [], "one alone agrees with nobody"
    assert await block(check(0)) == []
    assert await block(check(2)) == []
    assert await block(check(0)) == ["disagree"], "another one"
    assert set(decider.least) == {1}
