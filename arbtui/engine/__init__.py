"""One block's work; the send loop; a start is a recovery."""

from arbtui.engine.clock import SystemClock
from arbtui.engine.deciding import Decider
from arbtui.engine.direct import Submitted
from arbtui.engine.engine import Engine, Tally
from arbtui.engine.policy import SearchPolicy, TicketPolicy, WalletPolicy, WatchPolicy
from arbtui.engine.sending import Sending, SettlementTerms
from arbtui.engine.watching import Watching

__all__ = [
    "Decider",
    "Engine",
    "SearchPolicy",
    "Sending",
    "SettlementTerms",
    "Submitted",
    "SystemClock",
    "Tally",
    "TicketPolicy",
    "WalletPolicy",
    "WatchPolicy",
    "Watching",
]
