"""Any value in, an answer out: never an exception, never a slow regex."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from arbtui.abi import encode_call
from arbtui.domain import Delivery
from arbtui.execution.reverts import EXECUTOR_ERRORS
from arbtui.recovery import Classified, ErrorClass, classify, decode_revert
from arbtui.recovery.phrases import RULES
from tests.conftest import PROFILE

DATA = Path(__file__).parents[1] / "data"
MESSAGES = [
    json.loads(line)["message"] for line in (DATA / "node_errors.jsonl").read_text("utf-8").splitlines()
]
PHRASES = [rule[0] for rule in RULES]
FUZZED = 100_000 if PROFILE == "deep" else 3_000
#: Hostile pieces: what regexes, JSON, hex and terminals choke on.
PIECES = [
    "{", "}", "[", "]", '"', "'", "\\", ": ", ", ", "0x", "0x08c379a0", "0x4e487b71", "\x1b[31m", "\u202e", "\ud800",
    "\x00", "\n", "execution reverted: ", "panic code 0x", "expected 1 got ", "nonce ", "status code 503", "<title>",
    "https://", "[request id: ", "{'message': '", '{"error":', '{"message":"', "reverted with reason string '",
    "9" * 50, "a" * 300, "((((", "  " * 40, "Error: ", "e", "É",
]  # fmt: skip

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=40)
    | st.sampled_from(MESSAGES),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                [
                    "error",
                    "message",
                    "code",
                    "data",
                    "status",
                    "http_status",
                    "body",
                    "exception",
                    "rate",
                    "x",
                ]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


def sound(found: Classified) -> None:
    json.dumps(found.as_json(), ensure_ascii=True)
    assert isinstance(found.error_class, ErrorClass)
    assert "\x1b" not in found.told
    assert "\n" not in found.told


@given(json_values)
def test_any_json_value_has_an_answer(value: Any) -> None:
    sound(classify(value))
    sound(classify(json.dumps(value)))


@given(st.binary(max_size=300))
def test_any_bytes_are_decoded_as_a_revert(data: bytes) -> None:
    for payload in (data, b"\x08\xc3\x79\xa0" + data, b"\x4e\x48\x7b\x71" + data):
        revert = decode_revert(payload, own=EXECUTOR_ERRORS)
        json.dumps(revert.as_json())
        assert revert.meaning
        assert all("\x1b" not in arg for arg in revert.args)
        assert classify("0x" + payload.hex()).error_class is ErrorClass.EXECUTION_REVERTED


@given(st.text(max_size=200), st.sampled_from(MESSAGES))
def test_what_a_contract_wrote_decides_nothing(before: str, message: str) -> None:
    data = "0x" + encode_call("Error(string)", before + message).hex()
    for form in (
        {"code": 3, "message": "execution reverted: " + before + message, "data": data},
        {"code": -32000, "message": before + message, "data": data},
        data,
    ):
        found = classify(form)
        assert found.error_class is ErrorClass.EXECUTION_REVERTED
        assert found.delivery is Delivery.AMBIGUOUS


def test_fuzzed_texts() -> None:
    draw = random.Random(20_261_126)
    for _ in range(FUZZED):
        parts = draw.choices(MESSAGES, k=draw.randrange(2)) + draw.choices(PIECES, k=draw.randrange(8))
        parts += draw.choices(PHRASES, k=draw.randrange(3))
        draw.shuffle(parts)
        text = "".join(parts)
        if draw.random() < 0.3:
            cut = draw.randrange(len(text) + 1)
            text = text[cut:] + chr(draw.randrange(0x11000)) + text[:cut]
        sound(classify(text))


def test_long_inputs_cost_no_more_than_their_length() -> None:
    """80,000 characters of what backtracks: a quadratic pattern would run into the suite's timeout."""
    for piece in [
        *PIECES,
        "expected 1 ",
        "panic code ",
        "execution reverted: 0x",
        "code ",
        "<title> ",
        "{'message': 'x",
    ]:
        sound(classify(piece * (80_000 // len(piece))))
        sound(classify("('" + piece * (60_000 // len(piece)) + "')"))
    sound(classify("[" * 100_000))
    sound(classify('{"error":' * 20_000))
