"""The corpus through a real HTTP node, our transport, the classifier and the playbook; and no token in any of it."""

from __future__ import annotations

import json
import logging
import traceback
from pathlib import Path
from typing import Any

import pytest

from arbtui.chain import JsonRpc
from arbtui.domain import Delivery, ExecutionStatus
from arbtui.errors import ArbtuiError, MalformedAnswer, RateLimited
from arbtui.recovery import (
    Action,
    ErrorClass,
    ErrorRecoverySystem,
    NonceRule,
    Phase,
    RecoveryContext,
    classify,
)
from arbtui.recovery.playbook import RESIGNS
from tests.fake_node import fake_node

CANARY = "CANARY0123456789abcdef"
SAMPLE = [
    json.loads(line)
    for line in (Path(__file__).parents[1] / "data" / "node_errors.jsonl").read_text("utf-8").splitlines()
]
#: Texts of client libraries do not come from a node.
ROWS = [row for row in SAMPLE if row["client"] != "web3.py"]
SEND = "eth_sendRawTransaction"


def reply_of(row: dict[str, Any], asked: dict[str, Any]) -> tuple[int, str]:
    error = {"code": row["code"] if row["code"] is not None else -32000, "message": row["message"]}
    if "data" in row:
        error["data"] = row["data"]
    status = row.get("http_status", 200)
    if row["message"].startswith("502"):
        return 502, "<html><head><title>502 Bad Gateway</title></head></html>"
    return status, json.dumps({"jsonrpc": "2.0", "id": asked["id"], "error": error})


async def test_the_corpus_from_the_wire_to_the_action(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    system = ErrorRecoverySystem()
    told: list[str] = []
    async with fake_node() as node, JsonRpc(f"{node.url}/v3/{CANARY}?key={CANARY}") as rpc:
        for row in ROWS:
            node.raw = lambda asked, row=row: reply_of(row, asked)
            with pytest.raises(ArbtuiError) as caught:
                await rpc.call(SEND, ["0x02"])
            context = RecoveryContext(status=ExecutionStatus.PREPARED, method=SEND)
            done = system.handle_error(caught.value, context)
            wanted = {row["class"], row.get("suggested_class", row["class"])}
            assert done.error_class in wanted, (row["message"], done.known.rule)
            # What the wire left open is looked for, and never signed anew.
            if done.known.delivery in (Delivery.AMBIGUOUS, Delivery.DELIVERED):
                assert done.phase is Phase.PENDING
                assert done.nonce is NonceRule.KEEP
                assert done.action not in RESIGNS
            told += [str(caught.value), repr(done), "".join(traceback.format_exception(caught.value))]
        assert node.count(SEND) == len(ROWS), "each was sent exactly once"
    assert not any(CANARY in text for text in told)
    assert CANARY not in caplog.text


@pytest.mark.parametrize(
    ("status", "body", "name", "action"),
    [
        (200, '{"jsonrpc":"2.0","id":1,"result":null}', None, None),
        (200, "<html>hello</html>", ErrorClass.UNKNOWN, Action.PROBE),
        (502, "<html>bad</html>", ErrorClass.CONNECTION, Action.PROBE),
        (429, "slow down", ErrorClass.RATE_LIMITED, Action.PROBE),
        (401, "{}", ErrorClass.AUTH, Action.STOP_ENDPOINT),
        (200, '{"jsonrpc":"2.0","id":999,"result":"0x1"}', ErrorClass.UNKNOWN, Action.PROBE),
        (
            200,
            '{"jsonrpc":"2.0","id":1,"error":"bundle missing txs"}',
            ErrorClass.BUNDLE_REJECTED,
            Action.WATCH,
        ),
        (200, '{"jsonrpc":"2.0","id":1,"error":{"code":-32000}}', ErrorClass.UNKNOWN, Action.PROBE),
    ],
)
async def test_answers_that_are_no_answers_are_never_a_failure(
    status: int, body: str, name: ErrorClass | None, action: Action | None
) -> None:
    async with fake_node() as node, JsonRpc(node.url) as rpc:
        node.raw = lambda asked: (status, body)
        if name is None:
            assert await rpc.call(SEND, ["0x02"]) is None
            return
        with pytest.raises((MalformedAnswer, RateLimited)) as caught:
            await rpc.call(SEND, ["0x02"])
    done = ErrorRecoverySystem().handle_error(caught.value, {"status": "prepared", "method": SEND})
    assert (done.error_class, done.action) == (name, action)
    assert done.nonce is NonceRule.KEEP
    assert classify(caught.value).delivery is Delivery.AMBIGUOUS


async def test_a_refused_batch_is_that_refusal() -> None:
    async with fake_node() as node, JsonRpc(node.url) as rpc:
        node.raw = lambda asked: (
            429,
            '{"jsonrpc":"2.0","id":null,"error":{"code":-32005,"message":"daily request count exceeded"}}',
        )
        with pytest.raises(ArbtuiError) as caught:
            await rpc.batch([("eth_blockNumber", []), ("eth_chainId", [])])
    assert classify(caught.value).error_class is ErrorClass.RATE_LIMITED
