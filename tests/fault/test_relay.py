"""A private relay that says yes and never includes: its bytes stay private, and the nonce comes back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from arbtui.chain.relays import RelayPolicy, open_relay
from arbtui.devnet.faults import fake_relay
from arbtui.domain import ExecutionStatus, Visibility
from arbtui.store import SqliteJournal
from tests import factories as make
from tests.scripted_chain import Chain, Clock, read, sending_on


def ticket(chain: Chain, name: str, life: int = 2) -> Any:
    chain.last_block[name] = chain.head.number + life
    return make.ticket(name, last_block=chain.head.number + life, simulated_block=chain.head)


@pytest.mark.parametrize("gone", [False, True], ids=["relay stays", "relay gone after a restart"])
async def test_private_bytes_never_reach_the_public_node(tmp_path: Path, gone: bool) -> None:
    chain, clock, public = Chain(), Clock(), list[bytes]()
    chain.before_send = public.append
    with SqliteJournal(tmp_path, make.CHAIN_ID, make.WALLET, clock=clock.utc) as journal:
        async with (
            fake_relay() as relay,
            open_relay(RelayPolicy(url=SecretStr(relay.url)), 2.0) as sender,
        ):
            engine = sending_on(chain, journal, clock, relay=sender)
            await engine.send(ticket(chain, "t1"), "x1")
            assert engine.flight is not None
            assert engine.flight.status is ExecutionStatus.SUBMITTED
            (attempt,) = engine.flight.attempts
            assert attempt.visibility is Visibility.PRIVATE
            assert relay.raws == [attempt.raw]
            # Restarted: what the journal says of the attempt decides, not what is configured now.
            engine = sending_on(chain, journal, clock, relay=None if gone else sender)
            for known in journal.open_executions():
                engine.take_up(known, None)
            chain.reorg(1, back=True, swap=False)
            for _ in range(4):
                chain.mine()
                clock.pass_s(12)
                await engine.watch(chain.head, None)
            assert public == []
            assert engine.flight is None
            known_again = journal.execution("x1")
            assert known_again is not None
            assert known_again.status is ExecutionStatus.EXPIRED
            # No nonce was used: the next one has it, and no cancel was paid for.
            engine = sending_on(chain, journal, clock, relay=None)
            await engine.send(ticket(chain, "t2"), "x2")
            assert [read(raw).ticket for raw in public] == ["t2"]
            assert read(public[0]).nonce == attempt.nonce == 0


async def test_a_relay_that_refuses_is_no_reason_to_go_public(tmp_path: Path) -> None:
    chain, clock, public = Chain(), Clock(), list[bytes]()
    chain.before_send = public.append
    with SqliteJournal(tmp_path, make.CHAIN_ID, make.WALLET, clock=clock.utc) as journal:
        async with (
            fake_relay() as relay,
            open_relay(RelayPolicy(url=SecretStr(relay.url)), 2.0) as sender,
        ):
            relay.refusal = (-32000, "internal error")
            engine = sending_on(chain, journal, clock, relay=sender)
            await engine.send(ticket(chain, "t1"), "x1")
            for _ in range(5):
                chain.mine()
                clock.pass_s(12)
                await engine.watch(chain.head, None)
            assert public == []
            assert engine.flight is None
            assert journal.highest_nonce(make.CHAIN_ID, make.WALLET) is None


async def test_a_private_trade_that_the_relay_includes_is_settled(tmp_path: Path) -> None:
    chain, clock = Chain(), Clock()
    with SqliteJournal(tmp_path, make.CHAIN_ID, make.WALLET, clock=clock.utc) as journal:
        async with (
            fake_relay() as relay,
            open_relay(RelayPolicy(url=SecretStr(relay.url)), 2.0) as sender,
        ):
            engine = sending_on(chain, journal, clock, relay=sender)
            await engine.send(ticket(chain, "t1"), "x1")
            chain.mine(first=read(relay.raws[0]))
            await engine.watch(chain.head, set())
            (followed,) = engine.followed
            assert followed.status is ExecutionStatus.MINED
