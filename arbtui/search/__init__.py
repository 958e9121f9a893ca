"""Cycles that pay: enumeration, screening in floats, sizing in exact integers."""

from arbtui.search.cycles import CORE_CYCLES, CORE_POOLS, MAX_HOPS, CycleIndex, enumerate_cycles
from arbtui.search.finder import CHECK_EVERY, Costs, Finder, find_opportunities, size
from arbtui.search.result import Mismatch, SearchResult, opportunity, sharing
from arbtui.search.setbacks import Setbacks

__all__ = [
    "CHECK_EVERY",
    "CORE_CYCLES",
    "CORE_POOLS",
    "MAX_HOPS",
    "Costs",
    "CycleIndex",
    "Finder",
    "Mismatch",
    "SearchResult",
    "Setbacks",
    "enumerate_cycles",
    "find_opportunities",
    "opportunity",
    "sharing",
    "size",
]
