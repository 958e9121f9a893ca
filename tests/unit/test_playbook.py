from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace

import pytest

from arbtui import ErrorRecoverySystem
from arbtui.domain import Delivery, ExecutionStatus
from arbtui.errors import NodeError, NodeUnreachable, UsageError
from arbtui.execution.reverts import EXECUTOR_ERRORS
from arbtui.recovery import (
    MEANINGS,
    Action,
    Classified,
    ErrorClass,
    NonceRule,
    Phase,
    Recovery,
    RecoveryContext,
)
from arbtui.recovery.classify import classify
from arbtui.recovery.playbook import PLAYBOOK, RESIGNS, SENDS, decide

S = ExecutionStatus
ALL_STATUSES = [None, *ExecutionStatus]


def known(name: ErrorClass, delivery: Delivery | None = None) -> Classified:
    meaning = MEANINGS[name]
    return Classified(
        error_class=name,
        delivery=delivery or meaning.delivery,
        action=meaning.action,
        retryable=meaning.retryable,
        title=meaning.title,
        explain=meaning.explain,
        revert=None,
        rule="",
        told="",
        figures={},
    )


def everything() -> Iterator[tuple[Classified, RecoveryContext, Recovery]]:
    """Every class × delivery × status × what else may decide."""
    deliveries = [Delivery.DELIVERED, Delivery.REJECTED, Delivery.NOT_DELIVERED, Delivery.AMBIGUOUS]
    flags = list(itertools.product([False, True], repeat=4))
    for name, delivery, status in itertools.product(ErrorClass, deliveries, ALL_STATUSES):
        for pending, sending, ceiling, cancelling in flags:
            for tries, left in ((0, None), (1, 5), (9, 5), (0, 0), (9, -3)):
                context = RecoveryContext(
                    status=status,
                    pending=pending,
                    sending=sending,
                    tries=tries,
                    blocks_left=left,
                    at_ceiling=ceiling,
                    cancelling=cancelling,
                )
                found = known(name, delivery)
                yield found, context, decide(found, context)


def test_the_table_is_complete_and_its_reasons_are_sentences() -> None:
    assert set(PLAYBOOK) == set(ErrorClass)
    for name, rules in PLAYBOOK.items():
        assert len(rules) == 4, name
        assert all(len(rule.reason) > 10 for rule in rules)
        assert all(rule.limit is None or rule.limit >= 0 for rule in rules)


def test_nothing_is_ever_sent_twice_by_the_table() -> None:
    count = 0
    for found, context, done in everything():
        count += 1
        where = (found.error_class, found.delivery, context, done)
        may_be_pending = done.phase is Phase.PENDING
        # A nonce is given back only where its bytes certainly never arrived.
        if done.nonce is NonceRule.RELEASE:
            assert not context.pending, where
            assert context.status is S.PREPARED, where
            assert found.delivery in (Delivery.REJECTED, Delivery.NOT_DELIVERED), where
        # While an attempt may be pending, only a bump or a cancel signs, and both on its nonce.
        if may_be_pending:
            assert done.action not in RESIGNS, where
            assert done.nonce is NonceRule.KEEP, where
            assert done.action is not Action.DROP or not context.cancelling, where
        if done.action in SENDS and done.phase in (Phase.PREPARED, Phase.PENDING):
            assert done.nonce is NonceRule.KEEP, where
        # What is mined or over sends nothing; a reorganisation takes it back to submitted first.
        if done.phase in (Phase.MINED, Phase.OVER):
            assert done.action not in SENDS, where
        if done.phase is Phase.UNSIGNED:
            assert done.action not in SENDS - RESIGNS, where
        assert done.if_lost in (None, Action.RESEND_SAME, Action.RESEND_ELSEWHERE), where
        # A send nobody can vouch for is pending, whatever the journal said before it.
        if context.status is S.PREPARED and context.sending and found.delivery is Delivery.AMBIGUOUS:
            assert may_be_pending, where
    assert count > 40_000


def test_past_the_deadline_no_trade_is_sent_and_nothing_waits_for_ever() -> None:
    for _, context, done in everything():
        if context.blocks_left is None or context.blocks_left > 0:
            continue
        if done.phase is Phase.PENDING:
            assert done.action not in SENDS - {Action.CANCEL}
            assert done.action is not Action.WAIT
        if done.phase is Phase.PREPARED:
            assert done.action not in SENDS


def test_at_the_ceiling_nothing_gets_dearer() -> None:
    for _, context, done in everything():
        if context.at_ceiling:
            assert done.action not in (Action.BUMP, Action.RAISE_FEE)


def test_every_loop_has_an_end() -> None:
    """A rule without a number of tries is one the deadline ends, and then it is another action."""
    for name, rules in PLAYBOOK.items():
        for rule in rules[1:3]:
            if rule.limit is None and rule.action in SENDS | {Action.WAIT}:
                late = decide(known(name), RecoveryContext(status=S.SUBMITTED, blocks_left=0, tries=100))
                assert late.action not in SENDS - {Action.CANCEL}, name
            if rule.limit:
                assert rule.after not in SENDS, (name, "what follows the last try sends again")


def test_what_nobody_understood_is_asked_about_and_then_stops() -> None:
    system = ErrorRecoverySystem()
    first = system.handle_error("the moon is full", {"status": "submitted"})
    assert (first.action, first.if_lost, first.nonce) == (Action.PROBE, Action.RESEND_SAME, NonceRule.KEEP)
    assert first.tries_left == 2
    last = system.handle_error("the moon is full", {"status": "submitted", "tries": 2})
    assert last.action is Action.STOP_ACCOUNT
    assert last.stops
    assert last.alarm
    assert last.if_lost is None


@pytest.mark.parametrize(
    ("error", "context", "action", "nonce"),
    [
        # The same words, other deeds: it is the state that decides.
        (
            NodeError(-32000, "transaction underpriced"),
            {"status": "prepared"},
            Action.RAISE_FEE,
            NonceRule.KEEP,
        ),
        (
            NodeError(-32000, "transaction underpriced"),
            {"status": "prepared", "pending": True},
            Action.BUMP,
            NonceRule.KEEP,
        ),
        (
            NodeError(-32000, "replacement transaction underpriced"),
            {"status": "submitted"},
            Action.BUMP,
            NonceRule.KEEP,
        ),
        (
            NodeError(-32000, "replacement transaction underpriced"),
            {"status": "submitted", "at_ceiling": True},
            Action.WATCH,
            NonceRule.KEEP,
        ),
        (
            NodeError(-32000, "insufficient funds"),
            {"status": "prepared"},
            Action.STOP_ACCOUNT,
            NonceRule.RELEASE,
        ),
        (NodeError(-32000, "insufficient funds"), {"status": "submitted"}, Action.WATCH, NonceRule.KEEP),
        (NodeUnreachable("x", sent=False), {"status": "prepared"}, Action.RESEND_SAME, NonceRule.KEEP),
        (NodeUnreachable("x"), {"status": "prepared"}, Action.PROBE, NonceRule.KEEP),
        (NodeError(-32000, "nonce too low"), {"status": "prepared"}, Action.PROBE, NonceRule.KEEP),
        (NodeError(-32000, "already known"), {"status": "prepared"}, Action.WATCH, NonceRule.KEEP),
        (
            NodeError(-32000, "is not canonical"),
            {"status": "mined"},
            Action.FOLLOW_REORG,
            NonceRule.KEEP,
        ),
        (NodeError(-32000, "execution reverted"), {"status": "reverted"}, Action.SETTLE, NonceRule.BURNT),
        (
            NodeError(-32003, "BlockNumberMax condition not met"),
            {"status": "prepared"},
            Action.DROP,
            NonceRule.RELEASE,
        ),
        (
            NodeError(-32003, "BlockNumberMax condition not met"),
            {"status": "submitted"},
            Action.CANCEL,
            NonceRule.KEEP,
        ),
        (NodeError(3, "execution reverted: UniswapV2: K"), {}, Action.DROP, NonceRule.NONE),
        (
            NodeError(3, "execution reverted: LOK"),
            {"status": "rejected"},
            Action.DROP,
            NonceRule.NONE,
        ),
    ],
)
def test_known_cases(error: object, context: dict[str, object], action: Action, nonce: NonceRule) -> None:
    done = ErrorRecoverySystem(EXECUTOR_ERRORS).handle_error(error, context)
    assert (done.action, done.nonce) == (action, nonce), done.reason


def test_the_wait_is_the_providers_or_grows_with_the_tries() -> None:
    system = ErrorRecoverySystem()
    asked = {"code": -32005, "message": "rate limited", "data": {"backoff_seconds": 12}}
    assert system.handle_error(asked, {"status": "submitted"}).wait_s == 12
    said = system.handle_error("call rate limit exhausted, retry in 10s", {"status": "submitted"})
    assert said.wait_s == 10
    waits = [
        system.handle_error("rate limited", {"status": "submitted", "tries": n}).wait_s for n in (0, 1, 2, 50)
    ]
    assert waits == [1, 2, 4, 30]


def test_a_private_transaction_stays_private() -> None:
    done = ErrorRecoverySystem().handle_error("txpool is full", {"status": "submitted", "private": True})
    assert done.action is Action.RESEND_ELSEWHERE
    assert done.private_only


def test_a_context_with_a_wrong_key_is_refused() -> None:
    with pytest.raises(UsageError, match="last_tx_hash"):
        ErrorRecoverySystem().handle_error("x", {"last_tx_hash": "0x"})


def test_a_decision_is_a_value() -> None:
    system, context = ErrorRecoverySystem(), RecoveryContext(status=S.SUBMITTED)
    first = system.handle_error("nonce too low", context)
    assert first == system.handle_error(classify("nonce too low"), context)
    assert replace(first, wait_s=9) != first
