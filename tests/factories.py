"""Realistic domain values for tests: a WETH cycle over two pools, borrowed from Balancer."""

from __future__ import annotations

import hashlib
import pathlib
from datetime import UTC, datetime, timedelta
from typing import Any

from arbtui.domain import (
    Attempt,
    AttemptKind,
    BlockRef,
    CheckResult,
    ConversionRate,
    Decision,
    DecisionKind,
    Delivery,
    Delta,
    ExecutionStatus,
    FeeLadder,
    FeeStep,
    ForeignTrade,
    Hop,
    HopAmount,
    LenderId,
    LoanQuote,
    Opportunity,
    Path,
    PoolKind,
    Settlement,
    Stage,
    Ticket,
    Token,
)
from arbtui.domain.settlement import NATIVE
from arbtui.execution.ports import Intent, OpenExecution
from arbtui.store import Batch, RunInfo
from arbtui.units import ETHER, GWEI, Address, Ppm, Wei, parse_address

CHAIN_ID = 31_337
WETH = Token(parse_address("0xC02aaA39b223FE8D0A0e5C4F27eAD9083C756Cc2"), "WETH", 18)
DAI = Token(parse_address("0x6B175474E89094C44Da98b954EedeAC495271d0F"), "DAI", 18)
USDC = Token(parse_address("0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48"), "USDC", 6)
ETH = Token(NATIVE, "ETH", 18)
TOKENS = {token.address: token for token in (WETH, DAI, USDC, ETH)}
WALLET = parse_address("0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266")
EXECUTOR = parse_address("0x5FbDB2315678afecb367f032d93F642f64180aa3")
TREASURY = parse_address("0x70997970C51812dc3A010C7d01b50e0d17dc79C8")
ROLES = {WALLET: "wallet", EXECUTOR: "executor", TREASURY: "treasury"}
POOL_A = parse_address("0xA478c2975Ab1Ea89e8196811F51A7B7Ade33eB11")
POOL_B = parse_address("0xC2e9F25Be6257c210d7Adf0D4Cd6E3E881ba25f8")
HEAD = 20_000_000
START = datetime(2026, 7, 4, 12, tzinfo=UTC)


class Ticking:
    """A UTC clock that moves `step` seconds each time it is read."""

    def __init__(self, step: float = 0.0) -> None:
        self.now = START
        self.step = step

    def __call__(self) -> str:
        text = self.now.isoformat(timespec="microseconds")
        self.now += timedelta(seconds=self.step)
        return text


def at(seconds: float = 0.0) -> str:
    """`seconds` after START, as the store writes times."""
    return (START + timedelta(seconds=seconds)).isoformat(timespec="microseconds")


def word(*parts: object) -> str:
    """A 32-byte 0x word that the parts determine."""
    return "0x" + hashlib.sha256(repr(parts).encode()).hexdigest()


def block_ref(number: int = HEAD, fork: int = 0, **changes: Any) -> BlockRef:
    fields: dict[str, Any] = {
        "number": number,
        "hash": word("block", number, fork),
        "parent_hash": word("block", number - 1, fork),
        "timestamp": 1_783_166_400 + 12 * (number - HEAD),
        "base_fee_per_gas": Wei(20 * GWEI),
        "gas_used": 15_000_000,
        "gas_limit": 30_000_000,
    }
    return BlockRef(**{**fields, **changes})


def path(dexes: tuple[str, str] = ("uniswap", "uniswap")) -> Path:
    return Path(
        (
            Hop(POOL_A, dexes[0], PoolKind.UNISWAP_V2, Ppm(3_000), WETH.address, DAI.address),
            Hop(POOL_B, dexes[1], PoolKind.UNISWAP_V3, Ppm(500), DAI.address, WETH.address),
        )
    )


def opportunity(
    amount_in: int = 12 * ETHER, gross: int = ETHER // 10, block: BlockRef | None = None, **changes: Any
) -> Opportunity:
    route = changes.get("path") or path()
    middle = amount_in * 2_500
    fields: dict[str, Any] = {
        "path": route,
        "token": WETH,
        "amount_in": amount_in,
        "amount_out": amount_in + gross,
        "hops": (
            HopAmount(route.hops[0], amount_in, middle, 12),
            HopAmount(route.hops[1], middle, amount_in + gross, 3),
        ),
        "block": block or block_ref(),
    }
    return Opportunity(**{**fields, **changes})


def loan_quote(
    lender: LenderId = LenderId.BALANCER_V2, amount: int = 12 * ETHER, **changes: Any
) -> LoanQuote:
    fields: dict[str, Any] = {
        "lender": lender,
        "protocol": lender.value.rpartition("_")[0] or lender.value,
        "version": lender.value.rpartition("_")[2],
        "token": WETH,
        "amount": amount,
        "block": HEAD,
        "usable": True,
        "reason": None,
        "detail": "read Vault.getProtocolFeesCollector().getFlashLoanFeePercentage() = 0",
        "available": 30_000 * ETHER,
        "fee": 0,
        "gas_overhead": 80_000,
        "gas_overhead_source": "prior",
        "gas_cost": 80_000 * 20 * GWEI,
        "total_cost": 80_000 * 20 * GWEI,
    }
    return LoanQuote(**{**fields, **changes})


def quotes(amount: int = 12 * ETHER) -> tuple[LoanQuote, ...]:
    """Four answers: Balancer is cheapest, both Aaves cost a fee, Maker lends only DAI."""
    premium = amount * 5 // 10_000
    gas = 90_000 * 20 * GWEI
    return (
        loan_quote(LenderId.BALANCER_V2, amount),
        loan_quote(LenderId.AAVE_V3, amount, fee=premium, total_cost=premium + gas),
        loan_quote(LenderId.AAVE_V2, amount, fee=premium * 9 // 5, total_cost=premium * 9 // 5 + gas),
        loan_quote(
            LenderId.MAKER,
            amount,
            usable=False,
            reason="token_not_supported",
            detail="lends DAI only",
            available=0,
            fee=None,
            gas_cost=None,
            total_cost=None,
        ),
    )


WHY_LOST = {
    LenderId.AAVE_V3: "fee 5 bps, 6000000000000000 base units dearer",
    LenderId.AAVE_V2: "fee 9 bps",
    LenderId.MAKER: "lends DAI only",
}


def checks(failing: str = "") -> tuple[CheckResult, ...]:
    found = (
        CheckResult.at_least("profit", 78 * ETHER // 1_000, ETHER // 100, "wei", "after fee and gas"),
        CheckResult.at_most("price_impact", 12, 50, "bps"),
        CheckResult.at_most("age", 0, 1, "blocks"),
    )
    return tuple(
        CheckResult.at_least(check.check, check.limit - 1, check.limit, check.unit)
        if check.check == failing
        else check
        for check in found
    )


def ladder(strategy: str = "balanced", gas_limit: int = 420_000) -> FeeLadder:
    steps = (
        FeeStep(1, Wei(45 * GWEI), Wei(2 * GWEI), 0.0, Wei(45 * GWEI * gas_limit), 6, None, 0.8),
        FeeStep(2, Wei(52 * GWEI), Wei(3 * GWEI), 20.0, Wei(52 * GWEI * gas_limit), 7, 18_806_168, 0.9),
    )
    return FeeLadder(
        strategy=strategy,
        gas_limit=gas_limit,
        steps=steps,
        base_fee_per_gas=Wei(20 * GWEI),
        worst_cost=Wei(52 * GWEI * gas_limit),
        cancel_headroom=Wei(60 * GWEI * 21_000),
        guaranteed_blocks=6,
        ceiling=Wei(60 * GWEI),
    )


def ticket(name: str = "t1", found: Opportunity | None = None, **changes: Any) -> Ticket:
    found = found or opportunity()
    fields: dict[str, Any] = {
        "id": name,
        "digest": word("digest", name),
        "opportunity": found,
        "quotes": quotes(found.amount_in),
        "lender": LenderId.BALANCER_V2,
        "ladder": ladder(),
        "rate": ConversionRate(WETH, 1, 1, found.block.number, ()),
        "checks": checks(),
        "wallet": WALLET,
        "executor": EXECUTOR,
        "chain_id": CHAIN_ID,
        "calldata": bytes.fromhex("c0ffee00") + name.encode().rjust(32, b"\0"),
        "gas_limit": 420_000,
        "min_profit": ETHER // 20,
        "last_block": found.block.number + 5,
        "expected_profit": ETHER // 10,
        "expected_gas": 300_000,
        "expected_net_wei": ETHER // 10 - 300_000 * 22 * GWEI,
        "simulated_block": found.block,
    }
    return Ticket(**{**fields, **changes})


def decision(
    ticket_id: str = "t1", kind: DecisionKind = DecisionKind.APPROVED_BY_HAND, reason: str = ""
) -> Decision:
    return Decision(ticket_id, kind, reason, block_ref(HEAD + 1))


def foreign_trade() -> ForeignTrade:
    return ForeignTrade(HEAD + 1, block_ref(HEAD + 1).hash, POOL_A, word("foreign"), 7)


def intent(execution_id: str = "e1", ticket_id: str = "t1", key: str | None = None, **changes: Any) -> Intent:
    fields: dict[str, Any] = {
        "execution_id": execution_id,
        "key": key or f"key-{execution_id}",
        "ticket_id": ticket_id,
        "chain_id": CHAIN_ID,
        "wallet": WALLET,
        "last_block": HEAD + 5,
        "created_at": at(),
    }
    return Intent(**{**fields, **changes})


def attempt(
    execution_id: str = "e1",
    number: int = 1,
    nonce: int = 41,
    kind: AttemptKind = AttemptKind.TRADE,
    delivery: Delivery = Delivery.UNSENT,
    error: str = "",
) -> Attempt:
    return Attempt(
        execution_id=execution_id,
        number=number,
        kind=kind,
        nonce=nonce,
        tx_hash=word("tx", execution_id, number),
        raw=b"\x02" + bytes.fromhex(word("raw", execution_id, number)[2:]),
        max_fee_per_gas=Wei(45 * GWEI + number),
        max_priority_fee_per_gas=Wei(2 * GWEI),
        delivery=delivery,
        error=error,
    )


def settlement(
    execution_id: str = "e1",
    number: int = 1,
    gross: int = ETHER // 10,
    gas_used: int = 300_000,
    success: bool = True,
    **changes: Any,
) -> Settlement:
    """Profit to the treasury in WETH, gas from the wallet in the native coin; a revert costs gas alone."""
    price = 22 * GWEI
    earned = gross if success else 0
    deltas: tuple[Delta, ...] = (Delta(WALLET, NATIVE, -gas_used * price),)
    if earned:
        deltas = (Delta(TREASURY, WETH.address, earned), *deltas)
    fields: dict[str, Any] = {
        "execution_id": execution_id,
        "tx_hash": word("tx", execution_id, number),
        "block_number": HEAD + 2,
        "block_hash": block_ref(HEAD + 2).hash,
        "success": success,
        "gas_used": gas_used,
        "effective_gas_price": Wei(price),
        "gas_cost": Wei(gas_used * price),
        "l1_fee": Wei(0),
        "loan_fee": 0 if success else None,
        "deltas": deltas,
        "net_wei": earned - gas_used * price,
        "reconciled": True,
    }
    return Settlement(**{**fields, **changes})


def run_info(name: str = "r1", stage: Stage = Stage.LIVE, **changes: Any) -> RunInfo:
    fields: dict[str, Any] = {
        "id": name,
        "stage": stage,
        "approve": "none",
        "chain_id": CHAIN_ID,
        "chain": "devnet",
        "wallet": WALLET,
        "executor": EXECUTOR,
        "treasury": TREASURY,
        "version": "0.1.0",
        "config_digest": word("config"),
        "started_at": at(),
        "seed": 7,
    }
    return RunInfo(**{**fields, **changes})


def address(number: int) -> Address:
    """The `number`th of a supply of addresses."""
    return parse_address(f"0x{number:040x}")


def fill_gap(
    batch: Batch, name: str, nonce: int, decided_at: str, mined_at: str, gas_used: int = 21_000
) -> Settlement:
    """What the engine writes of a self-transfer that filled a nonce gap, and was mined."""
    status = ExecutionStatus.PREPARED
    intent = Intent(name, name, "", CHAIN_ID, WALLET, 0, decided_at)
    batch.adopt(OpenExecution(intent, status, ()), f"nonce {nonce} is free: filling it")
    batch.attempt(attempt(name, 1, nonce, AttemptKind.CANCEL, Delivery.DELIVERED))
    batch.execution_moved(name, status, ExecutionStatus.CANCELLED, "the cancel was mined", mined_at)
    paid = settlement(name, nonce, gas_used=gas_used, success=False)
    batch.settlement(paid, ROLES, TOKENS)
    return paid


def config_file(folder: pathlib.Path) -> pathlib.Path:
    """A configuration whose store is `folder` itself and whose node does not answer."""
    path = folder / "arbtui.toml"
    path.write_text(
        f'[chain]\nname = "test"\nchain_id = {CHAIN_ID}\nrpc_url = "http://127.0.0.1:1"\n'
        f'wrapped_native = "{WETH.address}"\n'
        f'[wallet]\naddress = "{WALLET}"\nexecutor = "{EXECUTOR}"\ntreasury = "{TREASURY}"\n'
        f'[store]\ndirectory = "."\n[search]\nbase_tokens = ["WETH"]\n'
        f'[[tokens]]\naddress = "{WETH.address}"\nsymbol = "WETH"\ndecimals = 18\n',
        "utf-8",
    )
    return path
