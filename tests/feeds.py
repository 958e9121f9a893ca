"""For tests of what follows a chain: a caller who believes each step, a replay to compare with, a wire that is cut."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from arbtui.chain import BlockLogs, HeadFeed, LogFilter, Node, Reset, Step
from arbtui.domain import BlockRef, Log


@dataclass
class Follower:
    """Does what the steps say, as a tracker of state would; a step that does not fit what it has is an error.

    `began` is where it last read everything anew. Give it to `follow`, or hand it each step.
    """

    blocks: list[BlockLogs] = field(default_factory=list)
    began: BlockRef | None = None
    steps: int = 0
    resets: int = 0

    @property
    def head(self) -> BlockRef:
        if self.blocks:
            return self.blocks[-1].block
        assert self.began is not None
        return self.began

    @property
    def logs(self) -> list[Log]:
        return [log for item in self.blocks for log in item.logs]

    def start(self, block: BlockRef) -> None:
        self.began, self.blocks = block, []

    def take(self, step: Step | Reset) -> None:
        if isinstance(step, Reset):
            self.resets += 1
            self.start(step.block)
            return
        self.steps += 1
        for gone in step.removed:
            assert self.blocks.pop().block == gone, "removed newest first, what is there"
        assert self.head == step.ancestor
        for item in step.added:
            assert item.block.parent_hash == self.head.hash, "each the child of the one before"
            assert item.block.number == self.head.number + 1
            assert all(log.block_hash == item.block.hash for log in item.logs)
            self.blocks.append(item)
        assert self.head == step.head


async def follow(feed: HeadFeed, follower: Follower, until: str, timeout_s: float = 20) -> None:
    """Take steps until the head's hash is `until`."""
    async with asyncio.timeout(timeout_s):
        while not (follower.began and follower.head.hash == until):
            step = await feed.next(1.0)
            if step is not None:
                follower.take(step)


async def eventually(what: Callable[[], bool], timeout_s: float = 10) -> None:
    """Wait until `what` holds."""
    async with asyncio.timeout(timeout_s):
        while not what():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.01)


async def replay(node: Node, first: int, last: BlockRef, wanted: LogFilter) -> list[BlockLogs]:
    """Blocks `first` to `last` as a reader sees them who begins now, one by one."""
    out: list[BlockLogs] = []
    for number in range(first, last.number + 1):
        block = await node.block(number)
        out.append(BlockLogs(block, await node.logs_at(block, wanted)))
    assert out[-1].block == last
    return out


class Wire:
    """A TCP proxy on loopback that is cut and refused on request."""

    def __init__(self, target: int) -> None:
        self._target = target
        self.refusing = False
        self.port = 0
        self.accepted = 0
        self._writers: set[asyncio.StreamWriter] = set()

    @property
    def open(self) -> int:
        return len(self._writers) // 2

    def cut(self) -> None:
        for writer in list(self._writers):
            writer.transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refusing:
            writer.transport.abort()
            return
        self.accepted += 1
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        self._writers |= {writer, far_writer}
        try:
            await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer))
        finally:
            self._writers -= {writer, far_writer}
            for one in (writer, far_writer):
                one.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while chunk := await reader.read(65_536):
            writer.write(chunk)
            await writer.drain()
    writer.close()


@asynccontextmanager
async def wire(target: int) -> AsyncIterator[Wire]:
    """A Wire to 127.0.0.1:`target`."""
    made = Wire(target)
    async with await asyncio.start_server(made._accept, "127.0.0.1", 0) as server:
        made.port = server.sockets[0].getsockname()[1]
        try:
            yield made
        finally:
            made.cut()
            await asyncio.sleep(0.05)


def flat(blocks: Sequence[BlockLogs]) -> list[tuple[str, int]]:
    """Hash and number of logs of each block, for a short message where two runs differ."""
    return [(item.block.hash, len(item.logs)) for item in blocks]
