from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbtui.abi import encode_call, selector
from arbtui.execution.reverts import EXECUTOR_ERRORS
from arbtui.recovery import RevertKind, decode_reason, decode_revert
from arbtui.recovery.reverts import ADVICE, EXECUTOR_MEANINGS, tables

PAYLOADS = [
    json.loads(line)
    for line in (Path(__file__).parents[1] / "data" / "revert_payloads.jsonl").read_text("utf-8").splitlines()
]


def error_string(reason: str) -> bytes:
    return encode_call("Error(string)", reason)


def test_every_reason_of_the_table_is_known_by_its_bytes() -> None:
    assert len(tables().strings) > 550
    for reason, entries in tables().strings.items():
        revert = decode_revert(error_string(reason))
        assert revert.kind is RevertKind.ERROR_STRING, reason
        assert revert.protocols, reason
        assert set(revert.protocols) == {entry.protocol for entry in entries}
        for entry in entries:
            hinted = decode_revert(error_string(reason), protocol=entry.protocol)
            assert entry.protocol in hinted.protocols


def test_every_selector_of_the_table_is_that_of_its_signature() -> None:
    assert len(tables().customs) > 350
    for head, entries in tables().customs.items():
        for entry in entries:
            assert selector(entry.name) == head, entry.name
        assert decode_revert(head + bytes(32 * 8)).protocols


@pytest.mark.parametrize("row", PAYLOADS, ids=lambda row: row["reason"][:40])
def test_payloads_that_break_decoders(row: dict[str, str]) -> None:
    revert = decode_revert(bytes.fromhex(row["data"][2:]))
    kinds = {
        "panic": RevertKind.PANIC,
        "empty": RevertKind.EMPTY,
        "halt": RevertKind.EMPTY,
    }
    if row["kind"] in kinds:
        assert revert.kind is kinds[row["kind"]]
        assert not revert.malformed
    else:
        assert revert.malformed or revert.arb_class == "unknown"
    assert revert.advice in ADVICE.values()


def test_one_code_two_protocols() -> None:
    both = decode_revert(error_string("12"))
    assert both.protocol is not None
    assert "Aave V2" in both.protocol
    assert "Aave V3" in both.protocol
    assert both.arb_class == "ambiguous"
    assert "VL_STABLE_BORROWING_NOT_ENABLED" in both.meaning
    assert "INVALID_ADDRESSES_PROVIDER" in both.meaning
    old = decode_revert(error_string("12"), protocol="aave_v2")
    new = decode_revert(error_string("12"), protocol="aave_v3")
    assert old.meaning.startswith("VL_STABLE_BORROWING_NOT_ENABLED")
    assert old.protocols == ("Aave V2",)
    assert new.meaning.startswith("INVALID_ADDRESSES_PROVIDER")


def test_balancer_codes_carry_their_names() -> None:
    revert = decode_revert(error_string("BAL#304"))
    assert revert.args == ("BAL#304",)
    assert revert.meaning.startswith("MAX_IN_RATIO")
    assert revert.arb_class == "race"


def test_the_executors_own_errors_come_first_with_their_arguments() -> None:
    data = encode_call("InsufficientProfit(uint256,uint256)", 5, 7)
    revert = decode_revert(data, own=EXECUTOR_ERRORS)
    assert (revert.name, revert.args, revert.arb_class) == ("InsufficientProfit", ("5", "7"), "race")
    assert decode_revert(data).protocol != "ARBTUI executor"
    inner = error_string("TRANSFER_FAILED")
    nested = encode_call(
        "TokenCallFailed(address,bytes4,bytes)", "0x" + "11" * 20, b"\x01\x02\x03\x04", inner
    )
    assert "TRANSFER_FAILED" in decode_revert(nested, own=EXECUTOR_ERRORS).meaning
    cut = decode_revert(data[:40], own=EXECUTOR_ERRORS)
    assert (cut.name, cut.malformed) == ("InsufficientProfit", True)


@pytest.mark.parametrize(
    ("data", "kind", "said"),
    [
        (b"", RevertKind.EMPTY, "no reason"),
        (encode_call("Panic(uint256)", 0x11), RevertKind.PANIC, "underflow"),
        (encode_call("Panic(uint256)", 2**256 - 1), RevertKind.PANIC, "no compiler"),
        (bytes.fromhex("deadbeef"), RevertKind.CUSTOM, "in no table"),
        (error_string("the moon is full"), RevertKind.ERROR_STRING, "own words"),
    ],
)
def test_kinds(data: bytes, kind: RevertKind, said: str) -> None:
    revert = decode_revert(data)
    assert revert.kind is kind
    assert said in revert.meaning


def test_a_reason_is_known_in_any_case_and_hostile_text_is_made_safe() -> None:
    assert decode_reason("execution reverted").protocol is None
    assert decode_reason("SPL").protocols == decode_reason("spl").protocols
    assert "\x1b" not in decode_reason("\x1b[31mred").args[0]


def test_the_table_says_where_it_was_read() -> None:
    raw = json.loads(
        (Path(__file__).parents[2] / "arbtui" / "recovery" / "data" / "reverts.json").read_text("utf-8")
    )
    assert all(name and sources for name, _, sources in raw["protocols"])
    classes = {row[3] for rows in (*raw["strings"].values(), *raw["customs"].values()) for row in rows}
    assert classes <= set(ADVICE)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "reverted without a reason: no reason was given"),
        (error_string("UniswapV2: K"), "reverted: UniswapV2: K: "),
        (error_string("a\x1b[2J"), "reverted: a\ufffd[2J: a contract's own words"),
        (encode_call("Panic(uint256)", 0x11), "panic 0x11: arithmetic underflow"),
        (
            encode_call("InsufficientProfit(uint256,uint256)", 5, 7),
            "InsufficientProfit(5, 7): the run earned less than the floor that was approved",
        ),
        (selector("Error(string)") + b"\xff" * 40, "reverted with malformed data 0x08c379a0ff"),
        (
            selector("InsufficientProfit(uint256,uint256)"),
            "reverted with malformed data InsufficientProfit: ",
        ),
        (
            bytes.fromhex("deadbeef"),
            "reverted with unknown error 0xdeadbeef: a custom error that is in no table",
        ),
        (
            bytes.fromhex("deadbeef") + b"\x07" * 3,
            "reverted with unknown error 0xdeadbeef 0x070707: a custom error that is in no table",
        ),
        (b"\x01\x02", "reverted with malformed data 0x0102: fewer bytes than a selector"),
    ],
)
def test_a_revert_is_one_sentence(data: bytes, said: str) -> None:
    assert decode_revert(data, own=EXECUTOR_ERRORS).sentence.startswith(said)


@given(st.binary(max_size=200))
def test_the_sentence_is_one_safe_line(data: bytes) -> None:
    sentence = decode_revert(data, own=EXECUTOR_ERRORS).sentence
    assert sentence
    assert sentence.isprintable()


def test_each_error_of_the_executor_has_a_meaning_and_advice() -> None:
    assert EXECUTOR_MEANINGS.keys() == EXECUTOR_ERRORS.keys()
    assert {arb_class for _, arb_class in EXECUTOR_MEANINGS.values()} <= ADVICE.keys()
