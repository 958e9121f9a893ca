"""Who signs. On the local chain: the published development keys. Elsewhere: not yet."""

from arbtui.signer.dev import DevSigner

__all__ = ["DevSigner"]
