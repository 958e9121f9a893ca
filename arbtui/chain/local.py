from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address
from urllib.parse import urlsplit

from arbtui.chain.node import Node
from arbtui.chain.policy import PUBLIC_CHAIN_IDS, is_socket_path


def _on_loopback(url: str) -> bool:
    if is_socket_path(url):
        return True
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


async def is_local_chain(node: Node, urls: Iterable[str], chain_id: int) -> bool:
    """Whether money cannot be at stake: every address on loopback, every node a development node of this chain, and
    that no public chain's id.
    """
    if not all(_on_loopback(url) for url in urls) or chain_id in PUBLIC_CHAIN_IDS:
        return False
    return await node.is_development_node()
