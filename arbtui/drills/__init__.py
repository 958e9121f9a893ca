"""Drills: faults rehearsed on a local chain of their own, with a real engine, and audited afterwards."""

from arbtui.drills.catalogue import DRILLS, Drill
from arbtui.drills.running import LIMIT_S, find_drill, run_drill
from arbtui.drills.timeline import DrillResult, Moment

__all__ = ["DRILLS", "LIMIT_S", "Drill", "DrillResult", "Moment", "find_drill", "run_drill"]
