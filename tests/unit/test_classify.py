from __future__ import annotations

import asyncio
import json
import socket
from pathlib import Path
from typing import Any

import pytest

from arbtui.domain import Delivery
from arbtui.errors import ArbtuiError, MalformedAnswer, NodeError, NodeUnreachable
from arbtui.execution.reverts import EXECUTOR_ERRORS
from arbtui.recovery import MEANINGS, Action, ErrorClass, classify, merge
from arbtui.recovery.phrases import RULES, squeeze

DATA = Path(__file__).parents[1] / "data"
#: A sample of real messages with the class each one deserves; `suggested_class` is as good.
SAMPLE = [json.loads(line) for line in (DATA / "node_errors.jsonl").read_text("utf-8").splitlines()]
READ = [
    tuple(line.split("\t", 1))
    for line in (DATA / "node_errors_read.tsv").read_text("utf-8").splitlines()
    if line and not line.startswith("#")
]


def wanted(row: dict[str, Any]) -> set[str]:
    return {row["class"], row.get("suggested_class", row["class"])}


def forms(row: dict[str, Any]) -> list[object]:
    """The same answer as text, object, JSON, whole answer, and as our transport raises it."""
    error = {"code": row["code"], "message": row["message"]} | (
        {"data": row["data"]} if "data" in row else {}
    )
    whole = {"jsonrpc": "2.0", "id": 1, "error": error}
    prefixed = ["Error: " + json.dumps(whole)] if row["message"] else []
    return [row["message"], error, json.dumps(error), whole, json.dumps(whole), *prefixed]


@pytest.mark.parametrize("row", SAMPLE, ids=lambda row: f"{row['client']}-{row['message'][:40]}")
def test_the_sample_is_right_in_every_form(row: dict[str, Any]) -> None:
    for form in forms(row):
        found = classify(form)
        assert found.error_class in wanted(row), (form, found.rule)


@pytest.mark.parametrize(("name", "message"), READ, ids=[message[:50] for _, message in READ])
def test_messages_read_in_clients_sources(name: str, message: str) -> None:
    assert classify(message).error_class == name


@pytest.mark.parametrize(("name", "message"), READ[::3], ids=[message[:50] for _, message in READ[::3]])
def test_case_dots_and_prefixes_change_nothing(name: str, message: str) -> None:
    for other in (message.upper(), message.lower(), message + ".", message + "\n", "Error: " + message):
        assert classify(other).error_class == name, other


SEND = [name for name in ErrorClass if MEANINGS[name].delivery is not Delivery.AMBIGUOUS]


@pytest.mark.parametrize(
    "around",
    [
        "execution reverted: {}",
        "VM Exception while processing transaction: reverted with reason string '{}'",
        "Error: VM Exception while processing transaction: revert {}",
        '{{"code":3,"message":"execution reverted: {}"}}',
        'The contract function "run" reverted with the following reason:\n{}',
    ],
)
def test_a_contracts_words_never_give_a_send_class(around: str) -> None:
    for row in SAMPLE:
        if '"' in row["message"] or "\n" in row["message"] or "\\" in row["message"]:
            continue
        found = classify(around.format(row["message"]))
        assert found.error_class is ErrorClass.EXECUTION_REVERTED, row["message"]
        assert found.delivery is Delivery.AMBIGUOUS


def test_revert_bytes_outweigh_the_text_beside_them() -> None:
    data = "0xfb8f41b2" + "00" * 96
    assert (
        classify({"code": -32000, "message": "nonce too low", "data": data}).error_class
        == "execution_reverted"
    )
    # A hash beside a refusal is no revert.
    hashed = {"code": 4, "message": "wasn't processed in 20s", "data": "0x" + "ab" * 32}
    found = classify(hashed, method="eth_sendRawTransactionSync")
    assert (found.error_class, found.delivery) == (ErrorClass.TIMEOUT, Delivery.DELIVERED)


@pytest.mark.parametrize(
    ("error", "name", "delivery"),
    [
        (NodeUnreachable("no node is listening", sent=False), "connection", Delivery.NOT_DELIVERED),
        (NodeUnreachable("no answer within 3 s"), "timeout", Delivery.AMBIGUOUS),
        (NodeUnreachable("the connection broke during it"), "connection", Delivery.AMBIGUOUS),
        (MalformedAnswer("x brought (HTTP 502)"), "connection", Delivery.AMBIGUOUS),
        (MalformedAnswer("x", status=429, retry_after_s=7.0), "rate_limited", Delivery.AMBIGUOUS),
        (MalformedAnswer("x", status=401), "auth", Delivery.AMBIGUOUS),
        (MalformedAnswer("not JSON (HTTP 200)"), "unknown", Delivery.AMBIGUOUS),
        (
            MalformedAnswer(
                "eth_sendBundle brought an error that is no error object: bundle missing txs (HTTP 200)"
            ),
            "bundle_rejected",
            Delivery.AMBIGUOUS,
        ),
        (NodeError(-32000, "already known"), "already_known", Delivery.DELIVERED),
        (NodeError(-32010, "OwnNonceAlreadyUsed"), "already_known", Delivery.AMBIGUOUS),
        (NodeError(-32000, "nonce too low"), "nonce_too_low", Delivery.AMBIGUOUS),
        (NodeError(-32003, "insufficient funds"), "insufficient_funds", Delivery.REJECTED),
        (ArbtuiError("something of ours: nonce too low"), "unknown", Delivery.AMBIGUOUS),
        (TimeoutError(), "timeout", Delivery.AMBIGUOUS),
        (asyncio.CancelledError(), "timeout", Delivery.AMBIGUOUS),
        (ConnectionRefusedError(111, "Connection refused"), "connection", Delivery.NOT_DELIVERED),
        (ConnectionResetError(104, "Connection reset by peer"), "connection", Delivery.AMBIGUOUS),
        (socket.gaierror(-2, "Name or service not known"), "connection", Delivery.NOT_DELIVERED),
        (ValueError({"code": -32000, "message": "nonce too low"}), "nonce_too_low", Delivery.AMBIGUOUS),
        (KeyError("99"), "execution_reverted", Delivery.AMBIGUOUS),
    ],
)
def test_exceptions_by_type(error: BaseException, name: str, delivery: Delivery) -> None:
    found = classify(error)
    assert (found.error_class, found.delivery) == (name, delivery), found.rule


class Response:
    def __init__(self, status_code: int, text: str, **headers: str) -> None:
        self.status_code, self.text, self.headers = status_code, text, headers


class HTTPError(Exception):
    """The shape of requests' and httpx's: the body is on the response."""

    def __init__(self, response: Response) -> None:
        super().__init__(f"{response.status_code} Client Error: for url: https://rpc.example.org/v3/CANARY")
        self.response = response


@pytest.mark.parametrize(
    ("response", "name"),
    [
        (Response(400, '{"error":{"code":-32000,"message":"nonce too low"}}'), "nonce_too_low"),
        (Response(429, "<html>slow</html>"), "rate_limited"),
        (Response(503, ""), "connection"),
        (Response(413, "<html>nonce</html>"), "oversized_data"),
        (Response(401, "{}"), "auth"),
        (Response(200, "<html>hello</html>"), "unknown"),
    ],
)
def test_an_http_body_is_read_before_the_status(response: Response, name: str) -> None:
    found = classify(HTTPError(response))
    assert found.error_class == name
    assert "CANARY" not in repr(found)


def test_waits_that_providers_ask_for() -> None:
    infura = {
        "code": -32005,
        "message": "project ID request rate exceeded",
        "data": {"rate": {"backoff_seconds": 30}},
    }
    assert classify(infura).retry_after_s == 30.0
    error = HTTPError(Response(429, "", **{"Retry-After": "12"}))
    assert classify(error).retry_after_s == 12.0
    error = HTTPError(Response(429, "", **{"Retry-After": "-1"}))
    assert classify(error).retry_after_s is None


@pytest.mark.parametrize(
    ("message", "figures"),
    [
        ("nonce too low: next nonce 12, tx nonce 11", {"next_nonce": 12}),
        ("nonce too high: tx nonce 9, gapped nonce 5", {"next_nonce": 5}),
        (
            "insufficient funds for gas * price + value: balance 5, tx cost 9, overshot 4",
            {"have": 5, "want": 9, "overshot": 4},
        ),
        ("transaction gas price below minimum: gas tip cap 1, minimum needed 25", {"minimum": 25, "got": 1}),
        ("intrinsic gas too low: gas 20000, minimum needed 21000", {"minimum": 21000, "gas": 20000}),
        ("transaction gas limit too high (cap: 16777216, tx: 20000000)", {"cap": 16777216}),
        (
            "Replacement transaction underpriced. A gasPrice/maxFeePerGas of at least 33 is necessary",
            {"minimum": 33},
        ),
        (
            "max fee per gas less than block base fee: address 0x1, maxFeePerGas: 1, baseFee: 875",
            {"base_fee": 875, "max_fee": 1},
        ),
    ],
)
def test_numbers_in_a_message_are_kept(message: str, figures: dict[str, int]) -> None:
    assert dict(classify(message).figures) == figures


def test_no_address_of_a_node_is_told() -> None:
    found = classify("500 Server Error: for url: https://user:CANARY@rpc.example.org/v3/CANARY?key=CANARY")
    assert found.error_class == "connection"
    assert "CANARY" not in repr(found) + json.dumps(found.as_json())


def test_one_endpoints_verdict_never_ends_what_another_took() -> None:
    refused, taken = classify("invalid sender"), classify("already known")
    lost, slow = classify(ConnectionRefusedError()), classify(TimeoutError())
    assert merge([refused, taken]) is taken
    assert merge([refused, slow]) is slow
    assert merge([refused, lost]) is lost
    assert merge([classify("insufficient funds"), classify("transaction underpriced")]) == classify(
        "transaction underpriced"
    )
    assert merge([]) is None


def test_every_class_has_a_meaning_and_a_phrase() -> None:
    assert set(MEANINGS) == set(ErrorClass)
    assert all(meaning.title and meaning.explain for meaning in MEANINGS.values())
    phrased = {rule[3] for rule in RULES} | {ErrorClass.EXECUTION_REVERTED}
    assert set(ErrorClass) <= phrased


def test_no_phrase_is_hidden_by_a_shorter_one_before_it() -> None:
    for at, (first, needs, bans, name, rule) in enumerate(RULES):
        for earlier, more, other_bans, other, other_rule in RULES[:at]:
            hidden = not more and not other_bans and earlier in first and other is not name
            assert not hidden, f"{rule!r} is never reached: {other_rule!r} stands before it"
        assert first == squeeze(first), bans
        assert all(part == squeeze(part) for part in needs)


def test_the_action_follows_what_a_revert_means() -> None:
    data = bytes.fromhex("b0e2a6ee")
    assert classify("execution reverted: UniswapV2: K").action is Action.DROP
    assert classify("execution reverted: CALLER_NOT_OWNER").action in (Action.DROP, Action.STOP_ACCOUNT)
    own = classify(
        {"code": 3, "message": "execution reverted", "data": "0x" + data.hex()}, own=EXECUTOR_ERRORS
    )
    assert own.error_class == "execution_reverted"


CUSTOM = "0xfb8f41b2" + "00" * 96


@pytest.mark.parametrize(
    ("text", "kind", "args"),
    [
        (f"('{CUSTOM}', '{CUSTOM}')", "custom", None),
        ("('execution reverted: UniswapV2: K', 'no data')", "error_string", ("UniswapV2: K",)),
        ("('execution reverted: UniswapV2: K', '0x08c379a0')", "error_string", ("UniswapV2: K",)),
        ("('execution reverted', 'no data')", "empty", ()),
        ('("execution reverted: it\'s off", None)', "error_string", ("it's off",)),
        (
            "('Panic error 0x11: Arithmetic operation results in underflow or overflow.', '0x4e487b71"
            + "00" * 31
            + "11')",
            "panic",
            ("0x11",),
        ),
        ("Panic error 0x12: Division or modulo by zero", "panic", ("0x12",)),
        ("execution reverted: custom error 0x2202f1fa: " + "00" * 32, "custom", None),
        ("Reverted 0x4e487b71" + "00" * 31 + "32", "panic", ("0x32",)),
    ],
)
def test_reprs_and_other_shapes_of_reverts(text: str, kind: str, args: tuple[str, ...] | None) -> None:
    found = classify(text)
    assert found.error_class == "execution_reverted"
    assert found.revert is not None
    assert found.revert.kind == kind
    assert args is None or found.revert.args == args
