from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from arbtui.abi import encode_call
from arbtui.cli import cli
from arbtui.errors import UsageError

KEYS = {"class", "action", "retryable", "title", "explain", "revert"}


def run(*args: str, given: str | None = None) -> str:
    result = CliRunner().invoke(cli, ["classify", *args], input=given, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_one_text_as_json() -> None:
    answer = json.loads(run("nonce too low: next nonce 5, tx nonce 4", "--json"))
    assert set(answer) >= KEYS
    assert answer["class"] == "nonce_too_low"
    assert answer["retryable"] is True
    assert answer["revert"] is None
    assert answer["figures"] == {"next_nonce": "5"}


def test_an_error_object_and_revert_data() -> None:
    data = "0x" + encode_call("Error(string)", "UniswapV2: K").hex()
    for text in (data, json.dumps({"code": 3, "message": "execution reverted", "data": data})):
        answer = json.loads(run(text, "--json"))
        assert answer["class"] == "execution_reverted"
        assert answer["revert"]["kind"] == "error_string"
        assert answer["revert"]["args"] == ["UniswapV2: K"]
        assert answer["revert"]["protocol"] == "Uniswap V2 pair/factory"
    own = "0x" + encode_call("InsufficientProfit(uint256,uint256)", 5, 7).hex()
    answer = json.loads(run(own, "--json"))
    assert (answer["revert"]["name"], answer["revert"]["args"]) == ("InsufficientProfit", ["5", "7"])
    assert json.loads(run("0x", "--json"))["revert"]["kind"] == "empty"


def test_a_file_answers_line_by_line_in_order(tmp_path: Path) -> None:
    lines = [
        "nonce too low",
        "",
        '{"code":-32000,"message":"already known"}',
        "the moon is full",
        "0x4e487b71",
    ]
    file = tmp_path / "errors.txt"
    file.write_text("\n".join(lines) + "\n", "utf-8")
    expected = ["nonce_too_low", "timeout", "already_known", "unknown", "execution_reverted"]
    for answers in (
        run("--file", str(file), "--json"),
        run("-", "--json", given=file.read_text("utf-8")),
        run("--file", "-", "--json", given=file.read_text("utf-8")),
    ):
        assert [json.loads(line)["class"] for line in answers.splitlines()] == expected


def test_the_hint_decides_between_protocols() -> None:
    data = "0x" + encode_call("Error(string)", "12").hex()
    assert "Aave V2" in run(data)
    assert "VL_STABLE" not in run(data, "--protocol", "aave_v3")


def test_what_people_read_fits_eighty_columns_and_acts_on_no_terminal() -> None:
    texts = [
        "execution reverted: \x1b[31mred and a very long reason " + "x" * 300,
        "0x" + encode_call("Error(string)", "BAL#304").hex(),
        "insufficient funds for gas * price + value: balance 0, tx cost 9327080000000000, overshot 9",
        "call rate limit exhausted, retry in 10s",
        "the moon is full",
    ]
    for text in texts:
        shown = run(text)
        assert "\x1b[31m" not in shown
        assert max(len(line) for line in shown.splitlines()) <= 80


def test_bad_usage_is_said() -> None:
    for args in ([], ["x", "--file", "y"]):
        result = CliRunner().invoke(cli, ["classify", *args])
        assert result.exit_code == 2
    with pytest.raises(UsageError, match="no such file"):
        CliRunner().invoke(cli, ["classify", "--file", "nowhere.txt"], catch_exceptions=False)
