from __future__ import annotations

import contextlib
import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbtui.abi import encode_call, keccak, selector
from arbtui.domain import (
    ALLOWED_MOVES,
    LENDER_CODES,
    NATIVE,
    Delivery,
    ExecutionStatus,
    LenderId,
    Log,
    Opportunity,
    PoolKind,
    Receipt,
)
from arbtui.errors import ArbtuiError, MalformedAnswer, NodeError, NodeUnreachable
from arbtui.execution import (
    decode_execute,
    differences,
    encode_execute,
    next_nonce,
    settle,
)
from arbtui.execution.calldata import EXECUTE, contract_ticket
from arbtui.execution.deployed import contracts_folder, strange_code
from arbtui.execution.reverts import EXECUTOR_ERRORS, observed_profit
from arbtui.execution.settlement import EXECUTED, TRANSFER
from arbtui.recovery import ErrorClass, classify_send
from arbtui.units import GWEI, Address, Ppm, Wei
from tests.factories import DAI, EXECUTOR, POOL_A, POOL_B, TREASURY, WALLET, WETH, opportunity, ticket

ABI = json.loads(Path("contracts/artifacts/Executor.json").read_text())["abi"]


def test_the_calldata_is_the_contracts() -> None:
    def typed(item: dict) -> str:  # type: ignore[type-arg]
        if item["type"].startswith("tuple"):
            return f"({','.join(typed(part) for part in item['components'])}){item['type'][5:]}"
        return str(item["type"])

    (entry,) = [item for item in ABI if item["type"] == "function" and item["name"] == "executePacked"]
    assert f"executePacked({','.join(typed(item) for item in entry['inputs'])})" == EXECUTE
    (event,) = [item for item in ABI if item["type"] == "event" and item["name"] == "Executed"]
    assert (
        "0x" + keccak(f"Executed({','.join(typed(i) for i in event['inputs'])})".encode()).hex() == EXECUTED
    )


def test_the_contracts_errors_are_all_known() -> None:
    told = {
        item["name"]: tuple(part["type"] for part in item["inputs"])
        for item in ABI
        if item["type"] == "error"
    }
    assert told == EXECUTOR_ERRORS


TICKET = "0x" + "ab" * 31 + "07"


def of_kind(kind: PoolKind, fee_ppm: int) -> Opportunity:
    found = opportunity()
    hops = tuple(replace(hop, kind=kind, fee_ppm=Ppm(fee_ppm)) for hop in found.path.hops)
    amounts = tuple(replace(step, hop=hop) for step, hop in zip(found.hops, hops, strict=True))
    return replace(found, path=replace(found.path, hops=hops), hops=amounts)


ALL_V2 = of_kind(PoolKind.UNISWAP_V2, 3000)
ALL_V3 = of_kind(PoolKind.UNISWAP_V3, 500)


def tag(address: Address) -> str:
    return "0x" + address[-8:].lower()


def test_calldata_says_what_was_meant() -> None:
    found = opportunity()
    calldata = encode_execute(TICKET, LenderId.MAKER, found, 123, 456)
    said = decode_execute(calldata)
    assert said["ticket"] == "0x" + "ab" * 7 + "07" == f"0x{contract_ticket(TICKET):016x}"
    assert (said["lender"], said["min_profit"], said["last_block"]) == ("maker", 123, 456)
    assert (said["amount_in"], said["source"]) == (found.amount_in, None)
    assert said["asset"] == tag(found.token.address)
    hops = said["hops"]
    assert isinstance(hops, list)
    assert [hop["pool"] for hop in hops] == [tag(hop.pool) for hop in found.path.hops]
    assert [hop["token_out"] for hop in hops] == [*(hop.token_out for hop in found.path.hops[:-1]), None]
    assert [hop["kind"] for hop in hops] == [str(hop.kind) for hop in found.path.hops]
    assert {hop["amount_out"] for hop in hops} == {None}
    with pytest.raises(MalformedAnswer, match="not a call"):
        decode_execute(b"\x00" + calldata[1:])


def test_calldata_byte_by_byte() -> None:
    """Packed by hand."""
    found = ALL_V2
    first, second = found.path.hops
    by_hand = (
        selector("executePacked()")
        + bytes.fromhex("ab" * 7 + "07")
        + (456).to_bytes(5, "big")
        + bytes([4])
        + bytes.fromhex(found.token.address[-8:])
        + found.amount_in.to_bytes(14, "big")
        + (123).to_bytes(14, "big")
        + bytes([0])
        + bytes.fromhex(first.pool[-8:] + first.token_out[2:])
        + bytes([0])
        + bytes.fromhex(second.pool[-8:])
    )
    assert encode_execute(TICKET, LenderId.MAKER, found, 123, 456) == by_hand


def test_the_example_in_the_documentation() -> None:
    text = Path("docs/executor.md").read_text("utf-8").partition("```text\n")[2].partition("```")[0]
    packed = bytes.fromhex("".join(line.partition("  ")[0].replace(" ", "") for line in text.splitlines()))
    said = decode_execute(packed)
    assert (said["ticket"], said["lender"], said["last_block"]) == (
        "0xababababababab07",
        "aave_v3",
        23_000_002,
    )
    assert (said["amount_in"], said["min_profit"]) == (8 * 10**18, 5 * 10**16)
    hops = said["hops"]
    assert isinstance(hops, list)
    assert [hop["pool"] for hop in hops] == ["0xec28c9dc", "0xd347aca0"]
    weth = Address("0xC02aaA39b223FE8D0A0e5C4F27eAD9083C756Cc2")
    tokens = (weth, Address("0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48"), weth)
    pools = ("0xB4e16d0168e52d35CaCD2c6185b44281Ec28C9Dc", "0x397FF1542f962076d0BFE58eA045FfA2d347ACa0")
    found = replace(
        ALL_V2,
        token=replace(ALL_V2.token, address=weth),
        amount_in=8 * 10**18,
        path=replace(
            ALL_V2.path,
            hops=tuple(
                replace(hop, pool=Address(pool), token_in=tokens[i], token_out=tokens[i + 1])
                for i, (hop, pool) in enumerate(zip(ALL_V2.path.hops, pools, strict=True))
            ),
        ),
    )
    assert encode_execute(TICKET, LenderId.AAVE_V3, found, 5 * 10**16, 23_000_002) == packed


def test_v3_hops_carry_their_fee() -> None:
    hops = decode_execute(encode_execute(TICKET, LenderId.OWN, ALL_V3, 1, 1))["hops"]
    assert isinstance(hops, list)
    assert [(hop["kind"], hop["fee_ppm"]) for hop in hops] == [("uniswap_v3", 500)] * 2


def test_amounts_can_be_given() -> None:
    found = ALL_V2
    plain = encode_execute(TICKET, LenderId.OWN, found, 1, 1)
    given = encode_execute(TICKET, LenderId.OWN, found, 1, 1, amounts_given=True)
    assert len(given) == len(plain) + 12 * len(found.hops)
    hops = decode_execute(given)["hops"]
    assert isinstance(hops, list)
    assert [hop["amount_out"] for hop in hops] == [step.amount_out for step in found.hops]
    # What has no room is computed; V3 pools are never asked for an amount.
    big = replace(found, hops=(replace(found.hops[0], amount_out=1 << 96), found.hops[1]))
    hops = decode_execute(encode_execute(TICKET, LenderId.OWN, big, 1, 1, amounts_given=True))["hops"]
    assert isinstance(hops, list)
    assert [hop["amount_out"] for hop in hops] == [None, found.hops[1].amount_out]
    same = ALL_V3
    assert encode_execute(TICKET, LenderId.OWN, same, 1, 1, amounts_given=True) == encode_execute(
        TICKET, LenderId.OWN, same, 1, 1
    )


def test_deployed_code_is_compared_beside_what_a_deployment_writes_itself() -> None:
    artifact = json.loads((contracts_folder() / "Executor.json").read_text("utf-8"))
    code = bytearray.fromhex(artifact["deployedBytecode"][2:])
    assert artifact["immutables"]
    for start, length in artifact["immutables"]:
        assert not any(code[start : start + length]), "the compiler leaves zeros there"
        code[start : start + length] = b"\xaa" * length
    assert strange_code(bytes(code)) == ""
    first, _ = artifact["immutables"][0]
    code[first - 1] ^= 1
    code[-1] ^= 1
    assert strange_code(bytes(code)).endswith(": 2 bytes of code differ")
    assert strange_code(bytes(code[:-1])).endswith(f": {len(code) - 1} bytes of code, not {len(code)}")


@pytest.mark.parametrize("lender", list(LENDER_CODES))
def test_every_lender_has_a_code_and_reads_back(lender: LenderId) -> None:
    source = EXECUTOR if lender in (LenderId.UNISWAP_V2, LenderId.UNISWAP_V3) else None
    calldata = encode_execute(TICKET, lender, ALL_V2, 1, 1, source)
    assert calldata[17] == LENDER_CODES[lender]
    said = decode_execute(calldata)
    # Of the two that speak ERC-3156 calldata cannot tell the one from the other.
    named = LenderId.MAKER if lender is LenderId.ERC3156 else lender
    assert (said["lender"], said["source"]) == (str(named), source)


def test_a_pair_that_pays_first_needs_no_source() -> None:
    calldata = encode_execute(TICKET, LenderId.FLASH_SWAP, ALL_V2, 1, 1)
    assert calldata[17] == 10
    said = decode_execute(calldata)
    assert (said["lender"], said["source"]) == ("flash_swap", None)


@pytest.mark.parametrize(
    ("lender", "source", "found", "says"),
    [
        (LenderId.UNISWAP_V3, None, opportunity(), "which pool lends"),
        (LenderId.UNISWAP_V2, None, ALL_V2, "which pool lends"),
        (LenderId.FLASH_SWAP, None, ALL_V3, "Uniswap V2 alone"),
        (LenderId.UNISWAP_V2, POOL_A, opportunity(), "locked while it lends"),
        (LenderId.UNISWAP_V3, POOL_B, opportunity(), "locked while it lends"),
        (LenderId.AAVE_V3, POOL_A, opportunity(), "cannot take its place"),
        (LenderId.OWN, None, replace(opportunity(), amount_in=1 << 112), "amount_in: .* does not fit"),
        (LenderId.OWN, None, replace(opportunity(), amount_in=-1), "amount_in: .* does not fit"),
    ],
)
def test_what_the_contract_could_only_refuse_is_not_encoded(
    lender: LenderId, source: Address | None, found: Opportunity, says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        encode_execute(TICKET, lender, found, 1, 1, source)


@given(st.integers(0, 200), st.binary(max_size=40))
def test_decoding_calldata_is_total(size: int, tail: bytes) -> None:
    whole = encode_execute(TICKET, LenderId.UNISWAP_V3, ALL_V3, 1, 1, EXECUTOR)
    # A hop may end where a token would begin: then what is left out is only the rest.
    with contextlib.suppress(MalformedAnswer):
        said = decode_execute(whole[:size] + tail)
        assert set(said) == {
            "ticket",
            "lender",
            "source",
            "asset",
            "amount_in",
            "min_profit",
            "last_block",
            "hops",
        }
    with pytest.raises(MalformedAnswer):
        decode_execute(whole[:60])


def test_the_profit_a_refusal_tells() -> None:
    assert observed_profit(encode_call("InsufficientProfit(uint256,uint256)", 5, 7)) == 5
    assert observed_profit(encode_call("DeadlinePassed(uint256,uint256)", 5, 7)) is None


def transfer(token: Address, source: Address, target: Address, amount: int) -> Log:
    topics = (TRANSFER, *("0x" + "0" * 24 + account[2:].lower() for account in (source, target)))
    return Log(token, topics, amount.to_bytes(32, "big"), 7, "0x" + "1" * 64, 0)


def receipt(*logs: Log, success: bool = True) -> Receipt:
    return Receipt("0x" + "1" * 64, 7, "0x" + "7" * 64, success, 200_000, Wei(20 * GWEI), Wei(11), logs)


RATE = ticket().rate


def settled(given_receipt: Receipt):  # type: ignore[no-untyped-def]
    return settle(
        "e1",
        given_receipt,
        executor=EXECUTOR,
        wallet=WALLET,
        treasury=TREASURY,
        asset=RATE.token.address,
        rate=RATE,
    )


def test_a_settlement_is_transfers_and_gas() -> None:
    asset = RATE.token.address
    found = settled(
        receipt(
            transfer(asset, POOL_A, EXECUTOR, 1_000),
            transfer(asset, EXECUTOR, POOL_A, 900),
            transfer(asset, EXECUTOR, TREASURY, 100),
            transfer(DAI.address, POOL_A, POOL_B, 5),
        )
    )
    gas = 200_000 * 20 * GWEI + 11
    assert {(d.account, d.token): d.amount for d in found.deltas} == {
        (TREASURY, asset): 100,
        (WALLET, NATIVE): -gas,
    }
    assert found.net_wei == RATE.to_wei_down(100) - gas
    assert (found.gas_cost, found.l1_fee) == (gas - 11, 11)


def balances(**changes: int) -> dict[tuple[Address, Address], int]:
    held = {
        (account, token): 10**18
        for account in (EXECUTOR, WALLET, TREASURY)
        for token in (WETH.address, NATIVE)
    }
    held[TREASURY, RATE.token.address] = 10**18 + changes.get("treasury", 0)
    held[WALLET, NATIVE] = 10**18 + changes.get("gas", 0)
    return held


def test_one_altered_log_no_longer_reconciles() -> None:
    asset = RATE.token.address
    gas = -(200_000 * 20 * GWEI + 11)
    before, after = balances(), balances(treasury=100, gas=gas)
    honest = settled(
        receipt(transfer(asset, EXECUTOR, TREASURY, 100), transfer(asset, POOL_A, EXECUTOR, 100))
    )
    assert differences([honest], before, after) == []
    altered = settled(
        receipt(transfer(asset, EXECUTOR, TREASURY, 101), transfer(asset, POOL_A, EXECUTOR, 101))
    )
    (told,) = differences([altered], before, after)
    assert "balance changed by 100, the receipt says 101" in told
    assert TREASURY in told


def test_a_balance_that_was_not_read_is_a_difference() -> None:
    found = settled(receipt(transfer(DAI.address, POOL_A, TREASURY, 1)))
    gas = -(200_000 * 20 * GWEI + 11)
    assert any(
        DAI.address in line and "no balance" in line
        for line in differences([found], balances(), balances(gas=gas))
    )


@pytest.mark.parametrize(
    ("latest", "reserved", "expected"), [(5, None, 5), (5, 4, 5), (5, 5, 6), (5, 9, 10), (9, 5, 9)]
)
def test_the_next_nonce(latest: int, reserved: int | None, expected: int) -> None:
    assert next_nonce(latest, reserved) == expected


def test_no_move_leaves_what_was_never_signed_or_refused() -> None:
    assert ALLOWED_MOVES[ExecutionStatus.PAPER] == frozenset()
    assert ALLOWED_MOVES[ExecutionStatus.REJECTED] == frozenset()
    assert set(ALLOWED_MOVES) == set(ExecutionStatus)
    # A reorganisation takes a mined transaction back; a cancel may lose against the original.
    assert ExecutionStatus.SUBMITTED in ALLOWED_MOVES[ExecutionStatus.MINED]
    assert ExecutionStatus.MINED in ALLOWED_MOVES[ExecutionStatus.CANCELLED]


@pytest.mark.parametrize(
    ("error", "name", "delivery"),
    [
        (NodeError(-32003, "nonce too low"), ErrorClass.NONCE_TOO_LOW, Delivery.AMBIGUOUS),
        (NodeError(-32003, "transaction already imported"), ErrorClass.ALREADY_KNOWN, Delivery.DELIVERED),
        (NodeError(-32000, "already known"), ErrorClass.ALREADY_KNOWN, Delivery.DELIVERED),
        (
            NodeError(-32003, "Insufficient funds for gas * price + value"),
            ErrorClass.INSUFFICIENT_FUNDS,
            Delivery.REJECTED,
        ),
        (
            NodeError(-32000, "replacement transaction underpriced"),
            ErrorClass.REPLACEMENT_UNDERPRICED,
            Delivery.REJECTED,
        ),
        (
            NodeError(-32003, "max fee per gas less than block base fee"),
            ErrorClass.FEE_CAP_BELOW_BASE_FEE,
            Delivery.REJECTED,
        ),
        (
            NodeError(-32000, "intrinsic gas too high -- tx.gas_limit > env.block.gas_limit"),
            ErrorClass.EXCEEDS_BLOCK_GAS_LIMIT,
            Delivery.REJECTED,
        ),
        # A contract chooses its own words: they never make a send class.
        (
            NodeError(3, "execution reverted: nonce too low"),
            ErrorClass.EXECUTION_REVERTED,
            Delivery.AMBIGUOUS,
        ),
        (NodeError(-32000, "the moon is full"), ErrorClass.UNKNOWN, Delivery.AMBIGUOUS),
        (NodeUnreachable("x", sent=False), ErrorClass.CONNECTION, Delivery.NOT_DELIVERED),
        (NodeUnreachable("x"), ErrorClass.TIMEOUT, Delivery.AMBIGUOUS),
        (MalformedAnswer("x"), ErrorClass.UNKNOWN, Delivery.AMBIGUOUS),
    ],
)
def test_what_a_failed_send_proves(error: ArbtuiError, name: ErrorClass, delivery: Delivery) -> None:
    assert classify_send(error) == (name, delivery)


@given(st.integers(), st.text())
def test_classifying_is_total_and_unknown_never_means_undelivered(code: int, message: str) -> None:
    name, delivery = classify_send(NodeError(code, message))
    if name is ErrorClass.UNKNOWN:
        assert delivery is Delivery.AMBIGUOUS
