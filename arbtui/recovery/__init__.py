"""What an error of a node means for a transaction."""

from arbtui.recovery.classify import ErrorClass, classify_send

__all__ = ["ErrorClass", "classify_send"]
