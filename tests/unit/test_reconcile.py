from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbtui.cli import main
from arbtui.domain import NATIVE, Delta, ExecutionStatus
from arbtui.monitor.reconcile import amounts_json, amounts_of, describe, may_send, unexplained
from arbtui.store import Store, open_store
from tests import factories as make

S = ExecutionStatus
ACCOUNTS = st.sampled_from([make.WALLET, make.EXECUTOR, make.TREASURY])
TOKENS = st.sampled_from([make.WETH.address, make.DAI.address, NATIVE])
DELTAS = st.lists(st.builds(Delta, ACCOUNTS, TOKENS, st.integers(-(2**200), 2**200)), max_size=12)
EVERY = list(
    itertools.product(
        (make.WALLET, make.EXECUTOR, make.TREASURY), (make.WETH.address, make.DAI.address, NATIVE)
    )
)


def after(before: dict[Any, int], *changes: list[Delta]) -> dict[Any, int]:
    held = dict(before)
    for deltas in changes:
        for delta in deltas:
            held[delta.account, delta.token] += delta.amount
    return held


@given(DELTAS, DELTAS, st.integers(0, 2**250))
def test_what_was_told_fits_and_what_was_not_is_found_to_the_unit(
    told: list[Delta], secret: list[Delta], start: int
) -> None:
    before = dict.fromkeys(EVERY, start)
    assert unexplained(before, after(before, told), told) == ()
    found = unexplained(before, after(before, told, secret), told)
    sums = after(dict.fromkeys(EVERY, 0), secret)
    assert {(d.account, d.token): d.amount for d in found} == {key: n for key, n in sums.items() if n}
    # A difference that is known already is not found again.
    assert unexplained(before, after(before, told, secret), [*told, *found]) == ()
    assert amounts_of(amounts_json(found)) == found


def test_a_difference_is_told_exactly() -> None:
    text = describe([Delta(make.TREASURY, make.USDC.address, -1_500_001)], make.ROLES, make.TOKENS)
    assert text == f"treasury {make.TREASURY}: -1.500001 USDC that no settlement explains (-1500001 units)"
    unknown = describe([Delta(make.WALLET, make.POOL_A, 7)], make.ROLES, make.TOKENS)
    assert "+7 0xA478" in unknown


def test_the_gate() -> None:
    assert may_send(0)
    assert not may_send(1)


def test_quiet_blocks_share_a_row_and_a_difference_is_told_once(tmp_path: Path) -> None:
    with Store.open(tmp_path, "live", clock=make.Ticking()) as store:
        store.start_run(make.run_info())
        held = {(make.WALLET, NATIVE): 10**18}

        def compare(first: int, last: int, amount: int, **changes: Any) -> None:
            with store.batch() as batch:
                batch.reconciled(
                    make.block_ref(first),
                    make.block_ref(last),
                    {(make.WALLET, NATIVE): amount},
                    make.ROLES,
                    make.TOKENS,
                    **changes,
                )

        compare(100, 100, 10**18)
        for number in range(100, 105):
            compare(number, number + 1, 10**18)
        compare(105, 106, 7, amounts='[["a","b","-1"]]', difference="wallet lost something")
        compare(106, 107, 7)
        compare(107, 108, 7)
        assert store.reconciled_through() == (108, make.block_ref(108).hash)
        assert store.holdings() == [(make.WALLET, NATIVE, "7")]
        assert store.open_differences() == 1
        with open_store(tmp_path) as reader:
            rows = reader.reconciliations()
            assert [(r["from_block"], r["to_block"], r["ok"]) for r in reversed(rows)] == [
                (100, 105, 1),
                (105, 106, 0),
                (106, 108, 1),
            ]
            assert len(reader.query("SELECT * FROM balance")) == 2, "a row for each change"
        with store.batch() as batch:
            batch.acknowledged(rows[1]["id"], "me", "gas for the year")
            batch.acknowledged(rows[1]["id"], "somebody else", "later")
        assert (store.open_differences(), store.is_open(rows[1]["id"])) == (0, False)
        with open_store(tmp_path) as reader:
            assert reader.reconciliations()[1]["acknowledged_by"] == "me"
    assert held


def test_a_settlement_that_contradicts_its_block_is_open_and_known_to_the_running_comparison(
    tmp_path: Path,
) -> None:
    with Store.open(tmp_path, "live", clock=make.Ticking()) as store:
        store.start_run(make.run_info())
        wrong = make.settlement(
            reconciled=False, difference="told", unexplained=(Delta(make.TREASURY, make.WETH.address, 5),)
        )
        with store.batch() as batch:
            batch.ticket(make.ticket(), {})
            batch.execution("e1", make.ticket(), S.PREPARED)
            batch.execution_moved("e1", S.PREPARED, S.MINED, "")
            batch.settlement(wrong, make.ROLES, make.TOKENS)
            batch.unreconciled(wrong, amounts_json(wrong.unexplained))
            batch.unreconciled(wrong, amounts_json(wrong.unexplained))
        assert store.open_differences() == 1
        block = wrong.block_number
        assert [amounts_of(text) for text in store.differences_between(block - 1, block)] == [
            wrong.unexplained
        ]
        assert store.differences_between(block, block + 9) == []
        assert len(store.deltas_between(block - 1, block)) == len(wrong.deltas)
        assert store.deltas_between(block, block + 9) == []
        with store.batch() as batch:
            batch.execution_moved("e1", S.MINED, S.SUBMITTED, "reorganised away")
        assert store.deltas_between(block - 1, block) == [], "it counts no more"


def test_what_is_open_is_listed_and_wants_a_reason_and_an_engine(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make.config_file(tmp_path)

    def call(*arguments: str) -> tuple[object, str, str]:
        with pytest.raises(SystemExit) as stop:
            main(["acknowledge", *arguments, "--config", str(tmp_path / "arbtui.toml")])
        shown = capsys.readouterr()
        return stop.value.code, shown.out, shown.err

    with Store.open(tmp_path, "live", clock=make.Ticking()) as store:
        store.start_run(make.run_info())
        assert call() == (0, "none yet\n", "")
        with store.batch() as batch:
            batch.reconciled(
                make.block_ref(7),
                make.block_ref(9),
                {},
                {},
                {},
                amounts="[]",
                difference="treasury lost 5 WETH",
            )
        code, out, _ = call()
        assert (code, "8-9" in out, "treasury lost 5 WETH" in out) == (1, True, True)
        assert json.loads(call("--json")[1])["differences"][0]["id"] == 1
        assert call("1")[0] == 2
        assert "--reason is wanted" in call("1", "--reason", " ")[2]
        assert "no engine is running" in call("1", "--reason", "known")[2]
        assert store.open_differences() == 1
