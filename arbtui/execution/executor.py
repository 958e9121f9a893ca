"""GasOptimizedExecutor: climb a fee ladder for one transaction until the node takes it."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from arbtui.domain import FeeLadder, FeeStep
from arbtui.errors import ArbtuiError
from arbtui.gas import DYNAMIC, GasPolicy
from arbtui.recovery import ErrorClass, classify_send
from arbtui.recovery.classify import PRICE_CLASSES

_log = logging.getLogger(__name__)

T = TypeVar("T")


class LadderExhausted(ArbtuiError):
    """Every step was refused for its price; `last` is the class of the last refusal."""

    def __init__(self, last: ErrorClass, steps: int) -> None:
        super().__init__(f"all {steps} steps of the fee ladder were refused: {last}")
        self.last = last


class GasOptimizedExecutor:
    """`ladder_for` builds the ladder of a strategy at current fees."""

    def __init__(self, policy: GasPolicy, ladder_for: Callable[[str], Awaitable[FeeLadder]]) -> None:
        self._policy = policy
        self._ladder_for = ladder_for

    async def execute_with_gas_strategy(self, strategy: str, tx_func: Callable[[FeeStep], Awaitable[T]]) -> T:
        """Call `tx_func` with each step's fees until one is not refused for its price.

        `dynamic` is passed on to `ladder_for`; an unknown strategy falls back to `balanced` with a warning. Raises
        LadderExhausted when no step is left; every other error of `tx_func` goes through, since a dearer copy would
        not mend it.
        """
        if strategy not in self._policy.strategies and strategy != DYNAMIC:
            fallback = "balanced" if "balanced" in self._policy.strategies else self._policy.strategy
            _log.warning("gas strategy %r is unknown; using %s", strategy, fallback)
            strategy = fallback
        return await climb(await self._ladder_for(strategy), tx_func)


async def climb(ladder: FeeLadder, tx_func: Callable[[FeeStep], Awaitable[T]], first: int = 0) -> T:
    """The loop itself, from step index `first`."""
    last = ErrorClass.UNDERPRICED
    for step in ladder.steps[first:]:
        try:
            return await tx_func(step)
        except ArbtuiError as error:
            last, _ = classify_send(error)
            if last not in PRICE_CLASSES:
                raise
            _log.info("step %d refused: %s", step.attempt, last)
    raise LadderExhausted(last, len(ladder.steps))
