from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit

from arbtui.chain.node import Node
from arbtui.chain.policy import PUBLIC_CHAIN_IDS


def _on_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


async def is_local_chain(node: Node, url: str, chain_id: int) -> bool:
    """Whether money cannot be at stake: loopback, a development node, and no public chain's id."""
    if not _on_loopback(url) or chain_id in PUBLIC_CHAIN_IDS:
        return False
    return await node.is_development_node()
