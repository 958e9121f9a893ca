"""Cycles that pay: enumeration, screening in floats, sizing in exact integers."""

from arbtui.search.cycles import MAX_HOPS, CycleIndex, enumerate_cycles
from arbtui.search.finder import Finder, SearchResult, find_opportunities
from arbtui.search.sizing import SCREEN_THRESHOLD, size

__all__ = [
    "MAX_HOPS",
    "SCREEN_THRESHOLD",
    "CycleIndex",
    "Finder",
    "SearchResult",
    "enumerate_cycles",
    "find_opportunities",
    "size",
]
