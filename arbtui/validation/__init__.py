"""One function a check; the validator runs them and keeps every observed value, limit and margin."""

from arbtui.validation.checks import Candidate
from arbtui.validation.policy import ValidationPolicy
from arbtui.validation.ranking import FREE_LOAN, LoanCost, Ranked, costs_of, rank
from arbtui.validation.validator import OpportunityValidator, Verdict

__all__ = [
    "FREE_LOAN",
    "Candidate",
    "LoanCost",
    "OpportunityValidator",
    "Ranked",
    "ValidationPolicy",
    "Verdict",
    "costs_of",
    "rank",
]
