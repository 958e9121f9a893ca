from __future__ import annotations


def next_nonce(chain_latest: int, highest_reserved: int | None) -> int:
    """The nonce for a new execution: past the chain's count and past everything the journal holds reserved.

    The node's `pending` count is never asked: load-balanced nodes lag behind what they were just sent.
    """
    return chain_latest if highest_reserved is None else max(chain_latest, highest_reserved + 1)
