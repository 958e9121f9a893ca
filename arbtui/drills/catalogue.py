"""The drills: what each injects, and what its engine must have written and done by the end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from arbtui.approval import ApproveMode
from arbtui.devnet import faults
from arbtui.devnet.faults import Forward, Reply, answer
from arbtui.devnet.pools import Pool
from arbtui.drills.crash import crash
from arbtui.drills.held import SEND, Held
from arbtui.drills.scene import LIFE, Scene
from arbtui.drills.timeline import Outcome
from arbtui.store import open_store
from arbtui.units import ETHER, GWEI

NOTHING_SENT = Outcome(False, False, "the engine sent nothing that could be disturbed")
#: What a transaction of a drill may take to end once its fault is over.
_END_S = 14.0


@dataclass(frozen=True, slots=True)
class Drill:
    """`rehearses` in one line; `name` is its section in docs/drills.md, too."""

    name: str
    rehearses: str
    script: Callable[[Scene], Awaitable[Outcome]]


async def stuck(s: Scene) -> Outcome:
    held = Held(s.node, 2 * GWEI)
    held.install(s.proxy)
    async with s.engine():
        if not await s.first_send(_over_the_first_tip(held)):
            return NOTHING_SENT
        s.inject("the pool keeps our transaction, and blocks leave it out for its tip")
        s.mining.set()
        ended = await s.until(s.watch.all_final, _END_S)
    # A second attempt on the same nonce is what the engine writes of it.
    raised = s.watch.tried_again()
    return Outcome(raised, ended and raised, _ending(s))


def _over_the_first_tip(held: Held) -> faults.Fault:
    """Hold the transaction that arrives, whatever it pays; the next one may be mined if it tips more."""

    async def fault(asked: dict[str, Any], forward: Forward) -> Reply:
        held.least_tip = 1_000_000 * GWEI
        reply = await held.send(asked, forward)
        held.least_tip = held.tip_of_last() + 1
        return reply

    return fault


async def fee_spike(s: Scene) -> Outcome:
    s.proxy.pool = Pool("geth")
    async with s.engine():
        if not await s.first_send():
            return NOTHING_SENT
        s.base_fee = 60 * GWEI
        s.inject("the base fee jumps from 6 to 60 gwei and stays there")
        s.mining.set()
        ended = await s.until(s.watch.all_final, _END_S)
    seen = s.watch.tried_again() or s.watch.incident("cancel", "fee", "bump")
    return Outcome(seen, ended, _ending(s))


async def replacement_refused(s: Scene) -> Outcome:
    held = Held(s.node, 2 * GWEI)
    s.proxy.inject(faults.refuse(-32000, "replacement transaction underpriced"), SEND, times=1)
    held.install(s.proxy)
    async with s.engine():
        if not await s.first_send(_over_the_first_tip(held)):
            return NOTHING_SENT
        s.inject(
            "blocks leave our transaction out, and the pool refuses its first replacement as underpriced"
        )
        s.mining.set()
        ended = await s.until(s.watch.all_final, _END_S)
    return Outcome(s.watch.incident("replacement_underpriced"), ended, _ending(s))


async def nonce_used_elsewhere(s: Scene) -> Outcome:
    held = Held(s.node, 1_000_000 * GWEI)
    held.install(s.proxy)
    async with s.engine():
        if not await s.first_send(held.send):
            return NOTHING_SENT
        nonce = await s.node.nonce(s.wallet)
        tx_hash = await s.send_as(
            s.wallet, s.book.accounts[9], nonce=nonce, gas=21_000, maxPriorityFeePerGas=5 * GWEI
        )
        s.foreign.add(tx_hash)
        await s.mine()
        s.proxy.heal()
        s.inject(f"another program with the same key uses nonce {nonce}")
        s.mining.set()
        ended = await s.until(s.watch.all_final, _END_S)
        detected = s.watch.incident("foreign_nonce")
        sent = len(s.watch.statuses())
        # The dislocation is still open: an engine that goes on sending would now.
        await s.wait_blocks(8)
        went_on = len(s.watch.statuses()) - sent
    if went_on:
        return Outcome(detected, False, "it went on sending with a key that somebody else uses")
    return Outcome(detected, ended and detected, "nothing more was sent from this wallet")


async def node_down(s: Scene) -> Outcome:
    async with s.engine() as running:
        if not await s.first_send():
            return NOTHING_SENT
        s.inject("the node breaks off every connection for 3 s, with our transaction in its pool")
        s.proxy.inject(faults.drop)
        await s.proxy.cut_websockets()
        s.mining.set()
        await asyncio.sleep(3)
        s.proxy.heal()
        s.say("healed", "the node answers again")
        ended = await s.until(s.watch.all_final, _END_S)
        alive = not running.done()
    return Outcome(s.watch.incident("node", "unreachable", "answer"), ended and alive, _ending(s))


async def node_lies_about_head(s: Scene) -> Outcome:
    async with s.engine() as running:
        await s.wait_blocks(4)
        s.proxy.head_lag = 3
        s.inject("the node's head goes back 3 blocks and stands there, while the chain goes on for 3 s")
        frozen = (await s.node.block()).number - 3
        await s.dislocate()
        for _ in range(30):
            await asyncio.sleep(0.1)
            s.proxy.head_lag = max(0, (await s.node.block()).number - frozen)
        sent = len(s.watch.statuses())
        detected = s.watch.incident("reorg", "stale", "head", "behind")
        s.proxy.heal()
        s.say("healed", "the node tells its head again")
        traded = await s.until(s.watch.all_final, _END_S)
        alive = not running.done()
    if sent:
        return Outcome(detected, False, "it sent a transaction on a head that was not the chain's")
    return Outcome(detected, traded and alive, _ending(s))


async def reorg(s: Scene) -> Outcome:
    async with s.engine():
        if not await s.first_send():
            return NOTHING_SENT
        s.mining.set()
        if not await s.until(lambda: "mined" in s.watch.statuses().values(), _END_S):
            return NOTHING_SENT
        tx_hash = next(iter(s.watch.attempts.values()))["tx_hash"]
        await s.wait_blocks(1)
        await s.hold_mining()
        receipt = await s.node.receipt(tx_hash)
        depth = (await s.node.block()).number - (receipt.block_number if receipt else 0) + 1
        await s.rpc.call("anvil_reorg", [depth, []])
        s.inject(f"{depth} blocks are replaced by others, and our mined transaction is in none of them")
        s.mining.set()

        async def there() -> bool:
            return await s.node.receipt(tx_hash) is not None or s.watch.statuses().get(
                next(iter(s.watch.statuses()))
            ) not in (None, "mined")

        followed = await s.until_async(there, 8)
        ended = await s.until(s.watch.all_final, _END_S) if followed else False
    return Outcome(s.watch.incident("reorg"), ended, _ending(s) if followed else "it was not followed")


async def dropped(s: Scene) -> Outcome:
    async with s.engine():
        if not await s.first_send():
            return NOTHING_SENT
        (row,) = list(s.watch.attempts.values())[:1]
        await s.proxy.evict(row["tx_hash"])
        s.inject("the node took our transaction and loses it without a word")
        before = s.proxy.count(SEND)
        s.mining.set()
        ended = await s.until(s.watch.all_final, _END_S)
    again = s.proxy.count(SEND) > before
    seen = s.watch.recovery("not_found") or s.watch.event("again")
    return Outcome(seen, ended and again, _ending(s))


async def lender_paused(s: Scene) -> Outcome:
    # An engine that looks for heads now and then takes the approval up before it has seen the block of the pause.
    slow = s.config.chain.model_copy(update={"poll_interval_s": 0.8, "push_url": None})
    async with s.engine(ApproveMode.NONE, s.config.model_copy(update={"chain": slow})):
        await s.dislocate()
        if not await s.until(lambda: bool(s.watch.tickets), 12):
            return NOTHING_SENT
        await s.hold_mining()
        await s.wait_still()
        ticket = s.watch.tickets[0]
        asked = {"ticket": ticket["id"], "digest": ticket["digest"], "by": "the drill"}

        stopping = asyncio.Lock()
        stopped = False

        async def stops_lending(_: dict[str, Any], forward: Forward) -> Reply:
            nonlocal stopped
            async with stopping:
                if not stopped:
                    dss = s.book.lenders["maker"]
                    await s.as_owner(dss, "file(bytes32,uint256)", b"live".ljust(32, b"\0"), 0)
                    s.inject(f"approved by hand; {ticket['lender']} stops lending before the engine sends")
                    stopped = True
            return await forward()

        # Whoever looks at the head from here on waits for it: also a look that is not the approval's own.
        s.proxy.inject(stops_lending, "eth_getBlockByNumber")
        s.say("engine", f"to the approval: {await s.post('approve', asked)}")
        s.mining.set()
        await s.wait_blocks(2)
        sent = len(s.watch.attempts)
        ended = not sent or await s.until(s.watch.all_final, _END_S)
    stale = [row for row in s.watch.decisions if row["ticket_id"] == ticket["id"] and row["kind"] == "stale"]
    if not sent:
        return Outcome(bool(stale), bool(stale), "nothing was signed")
    with open_store(s.config.store.directory) as reader:
        (row,) = reader.executions()
    if row["lender"] == ticket["lender"]:
        return Outcome(False, False, "it was sent through the lender that had stopped")
    why = f"the ticket's fallback leg went out, through {row['lender']}, within its floor; {_ending(s)}"
    return Outcome(True, ended and row["status"] == "mined", why)


async def revert_on_chain(s: Scene) -> Outcome:
    async with s.engine():
        if not await s.first_send():
            return NOTHING_SENT
        await s.dislocate(0, tip=50 * GWEI)
        s.inject("a rival closes the same dislocation in the same block, before us")
        s.mining.set()
        ended = await s.until(s.watch.all_final, _END_S)
    reverted = "reverted" in s.watch.statuses().values()
    return Outcome(s.watch.event("revert"), ended and reverted, _ending(s))


async def out_of_gas(s: Scene) -> Outcome:
    async def half_the_gas(asked: dict[str, Any], _: Forward) -> Reply:
        block_calls, *rest = asked["params"]
        for state in block_calls["blockStateCalls"]:
            for call in state["calls"]:
                call.pop("gas", None)
        told = await s.rpc.call("eth_simulateV1", [block_calls, *rest])
        for block in told:
            for call in block["calls"]:
                call["gasUsed"] = hex(int(call["gasUsed"], 16) // 2)
        return answer(asked, told)

    rule = s.proxy.inject(half_the_gas, "eth_simulateV1")
    s.inject("the node's simulation tells half the gas a trade takes")
    async with s.engine():
        if not await s.first_send():
            return NOTHING_SENT
        rule.times = rule.fired
        s.say("healed", "it tells the truth again; the transaction is signed for too little gas")
        s.mining.set()
        ended = await s.until(lambda: "reverted" in s.watch.statuses().values(), _END_S)
    named = s.watch.event("out of gas", "ran out", "out_of_gas") or s.watch.incident(
        "out of gas", "out_of_gas", "ran out"
    )
    return Outcome(named, ended, _ending(s))


async def insufficient_funds(s: Scene) -> Outcome:
    enough = await s.node.balance(s.wallet)
    s.proxy.pool = Pool("geth")

    async def emptied(_: dict[str, Any], forward: Forward) -> Reply:
        await s.set_balance(ETHER // 10_000)
        return await forward()

    async with s.engine():
        if not await s.first_send(emptied):
            return NOTHING_SENT
        s.inject("the wallet is emptied between the simulation and the send")
        s.mining.set()
        await s.wait_blocks(8)
        tries = s.proxy.count(SEND)
        await s.set_balance(enough)
        s.say("healed", "the wallet has gas money again")
        said = await s.post("acknowledge", {"by": "the drill"})
        s.say("engine", f"to the acknowledgement: {said}")
        traded = await s.until(lambda: "mined" in s.watch.statuses().values(), 8)
    detected = s.watch.incident("insufficient_funds")
    # One refusal tells it; the same again at every block would be a retry without a reason.
    patient = tries <= 1
    why = f"sends while there was no money: {tries}; " + (
        "it traded again when there was" if traded else "it never traded again"
    )
    return Outcome(detected, patient and s.watch.all_final(), why)


def _ending(s: Scene) -> str:
    """How the executions ended, in words."""
    ends = list(s.watch.statuses().values())
    kinds = ", ".join(f"{ends.count(end)} {end}" for end in sorted(set(ends)))
    return f"executions: {kinds or 'none'}"


DRILLS: tuple[Drill, ...] = (
    Drill("stuck-transaction", "our transaction waits in the pool while blocks go by", stuck),
    Drill("fee-spike", f"the base fee jumps over our cap for longer than our {LIFE} blocks", fee_spike),
    Drill("replacement-refused", "the pool refuses the higher fee of a stuck one", replacement_refused),
    Drill("nonce-used-elsewhere", "another program takes our wallet's nonce", nonce_used_elsewhere),
    Drill("node-down", "the node goes away with our transaction in its pool", node_down),
    Drill("node-lies-about-head", "the node's head goes back and stands still", node_lies_about_head),
    Drill("reorg-of-a-mined-execution", "the block with our trade is replaced", reorg),
    Drill("dropped-transaction", "the node takes our transaction and forgets it", dropped),
    Drill("lender-paused", "the lender stops between approval and send", lender_paused),
    Drill("revert-on-chain", "a rival is first, and our trade reverts", revert_on_chain),
    Drill("out-of-gas", "the node understates the gas our trade takes", out_of_gas),
    Drill("insufficient-funds", "the wallet is emptied before the send", insufficient_funds),
    Drill("crash", "kill -9 between every two steps of the journal", crash),
)
