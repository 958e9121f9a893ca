"""One drill from its name to its result."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from arbtui.devnet.plan import DEFAULT_SEED
from arbtui.drills.catalogue import DRILLS, Drill
from arbtui.drills.ledger import Audit, audit
from arbtui.drills.scene import Scene, opened
from arbtui.drills.timeline import DrillResult, Moment, Outcome, Timeline
from arbtui.errors import DevnetError, NodeUnreachable, UsageError
from arbtui.text import safe_text

#: A drill is broken off after so many seconds, and has then not recovered.
LIMIT_S = 40.0


def find_drill(name: str) -> Drill:
    """The drill of that name; raises UsageError with all names."""
    for drill in DRILLS:
        if drill.name == name:
            return drill
    raise UsageError(f"there is no drill {safe_text(name)!r}; there are {', '.join(d.name for d in DRILLS)}")


async def run_drill(
    drill: Drill,
    seed: int = DEFAULT_SEED,
    show: Callable[[Moment], None] = lambda _: None,
    notice: Callable[[str], None] = lambda _: None,
    limit_s: float = LIMIT_S,
) -> DrillResult:
    """Run one drill on a chain of its own, for `limit_s` at most; `show` is told each moment.

    From the main thread, with which anvil ends. Chain, proxy and engine are ended however this ends; the store goes
    too, unless something is left to be looked at. A chain that stops answering says nothing of the engine: the drill
    then begins again on another one, with a timeline of its own. Raises DevnetError where no chain can be started, or a
    second one stops answering too, RefusedError where the environment points elsewhere.
    """
    try:
        return await _once(drill, seed, show, notice, limit_s)
    except NodeUnreachable as error:
        show(Moment(0.0, "chain", f"{error}: the drill begins again on a new chain"))
    try:
        return await _once(drill, seed, show, notice, limit_s)
    except NodeUnreachable as error:
        raise DevnetError(f"two local chains in a row stopped answering, the last: {error}") from error


async def _once(
    drill: Drill, seed: int, show: Callable[[Moment], None], notice: Callable[[str], None], limit_s: float
) -> DrillResult:
    """Raises NodeUnreachable where the chain itself stops answering: the engine's own node is the proxy."""
    say = Timeline(show)
    folder = Path(tempfile.mkdtemp(prefix=f"arbtui-drill-{drill.name}-"))
    keep = False
    try:
        async with opened(say, folder, seed, notice) as scene:
            try:
                async with asyncio.timeout(limit_s):
                    outcome = await drill.script(scene)
            except TimeoutError:
                outcome = Outcome(False, False, f"broken off after {limit_s:g} s")
            found = await audit(scene.config, scene.rpc, scene.start, scene.foreign, scene.given_wei)
            result = _result(drill, scene, outcome, found)
        keep = not result.passed
        return result
    finally:
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)


def _result(drill: Drill, scene: Scene, outcome: Outcome, found: Audit) -> DrillResult:
    say = scene.say
    for line in found.lost:
        say("lost", line)
    for line in found.wrong:
        say("wrong", line)
    if not found.lost and not found.wrong:
        say(
            "verified",
            f"journal, store and chain agree on every execution ({found.executions}) and signed hash"
            f" ({found.hashes}); no nonce is missing; the wallet's balance is right to the wei",
        )
    recovered = outcome.recovered and not found.lost and not found.wrong
    return DrillResult(
        drill=drill.name,
        injected="; ".join(scene.injected),
        detected=outcome.detected,
        recovered=recovered,
        seconds=say.seconds(),
        timeline=tuple(say.moments),
        lost_transactions=len(found.lost),
        why=outcome.why,
        store=None if recovered and not found.lost else str(scene.config.store.directory),
    )
