"""Tickets bound to bytes, and who may approve what at which stage."""

from arbtui.approval.stages import ApproveMode, require_stage
from arbtui.approval.tickets import digest_of, new_ticket_id

__all__ = ["ApproveMode", "digest_of", "new_ticket_id", "require_stage"]
