from __future__ import annotations

from enum import StrEnum

from arbtui.domain import Stage
from arbtui.errors import RefusedError


class ApproveMode(StrEnum):
    """Who approves: nobody (tickets wait for a person), a standing mandate, or everything (local chains alone)."""

    NONE = "none"
    MANDATE = "mandate"
    ALL = "all"


def require_stage(stage: Stage, approve: ApproveMode, *, local: bool) -> None:
    """Raise RefusedError for a stage or an approval that may not be used here.

    `local` is true only where the node is on loopback, answers as a development chain, and its chain id is in no
    preset.
    """
    if stage is Stage.CANARY:
        raise RefusedError(
            "--stage canary does not exist yet; use observe, paper, or live on the local chain"
        )
    if stage is Stage.LIVE and not local:
        raise RefusedError(
            "--stage live is refused: this is not a local chain, and there is no signer for others yet"
        )
    if approve is ApproveMode.MANDATE:
        raise RefusedError("--approve mandate does not exist yet; use none, or all on the local chain")
    if approve is ApproveMode.ALL and not local:
        raise RefusedError("--approve all is refused: it is for a local chain on loopback alone")
