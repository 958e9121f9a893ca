"""Calldata of the executor contract (contracts/src/IExecutor.sol): a packed plan behind the selector.

Big-endian, without padding. A head of 46 bytes, for the lenders that are a pool that pool's address, then the hops:

    ticket 8 · last block 5 · lender 1 · asset 4 · amount in 14 · minimum profit 14 · [source 20]
    hop: kind 1 · [fee in ppm 3, V3 only] · [amount out 12, if given] · pool 4 · [token out 20, all but the last]

`asset` and `pool` are the last four bytes of an address: the contract knows the assets it may trade in, and computes a
pool's address from its exchange's factory.
"""

from __future__ import annotations

from arbtui.abi import selector
from arbtui.domain import LENDER_CODES, POOL_LENDERS, LenderId, Opportunity, PoolKind
from arbtui.errors import MalformedAnswer
from arbtui.units import Address, parse_address

EXECUTE = "executePacked()"
_KIND_CODES = {PoolKind.UNISWAP_V2: 0, PoolKind.UNISWAP_V3: 1}
_HEAD = (("ticket", 8), ("last_block", 5), ("lender", 1), ("asset", 4), ("amount_in", 14), ("min_profit", 14))
_ADDRESS, _TAG, _FEE, _OUT = 20, 4, 3, 12
_GIVEN = 2


def contract_ticket(ticket_id: str) -> int:
    """The contract's number for a ticket: seven bytes of its run and the dense last byte."""
    raw = bytes.fromhex(ticket_id[2:])
    return int.from_bytes(raw[:7] + raw[-1:], "big")


def encode_execute(
    ticket_id: str,
    lender: LenderId,
    opportunity: Opportunity,
    min_profit: int,
    last_block: int,
    source: Address | None = None,
    *,
    amounts_given: bool = False,
) -> bytes:
    """The transaction's data, and the only place where it is made.

    `min_profit` in base units of the opportunity's token, net of the loan fee; `last_block` a block number. `source`
    is the pool that lends, for lenders that are a pool. With `flash_swap` the cycle's own last pair pays first, where
    all hops are of the V2 family.

    With `amounts_given` a V2 pair is asked for exactly what the opportunity says: some 600 gas less a hop, but a pair
    that moved against us by one unit reverts the run, and one that moved in our favour keeps what it gained. Without,
    the contract computes each output from the reserves of the moment, and the floor decides alone.

    Raises ValueError where the contract could only refuse: an amount or block that does not fit, a source for a lender
    that has none, a source that the cycle trades on.
    """
    hops = opportunity.path.hops
    code = LENDER_CODES[lender]
    if lender is LenderId.FLASH_SWAP and any(hop.kind is not PoolKind.UNISWAP_V2 for hop in hops):
        raise ValueError("a flash swap of the cycle's own last pair needs hops of Uniswap V2 alone")
    if source is None:
        if lender in POOL_LENDERS:
            raise ValueError(f"{lender}: which pool lends?")
    elif lender not in POOL_LENDERS:
        raise ValueError(
            f"{lender} is one contract, which the executor knows; {source} cannot take its place"
        )
    elif source in opportunity.path.pools:
        raise ValueError(f"{lender}: the cycle trades on {source}, which is locked while it lends")
    out = bytearray(selector(EXECUTE))
    values = {
        "ticket": contract_ticket(ticket_id),
        "last_block": last_block,
        "lender": code,
        "asset": int(opportunity.token.address, 16) & 0xFFFFFFFF,
        "amount_in": opportunity.amount_in,
        "min_profit": min_profit,
    }
    for name, size in _HEAD:
        if not 0 <= values[name] < 1 << 8 * size:
            raise ValueError(f"{name}: {values[name]} does not fit {size} bytes")
        out += values[name].to_bytes(size, "big")
    if source is not None:
        out += _raw(source)
    for index, (hop, amounts) in enumerate(zip(hops, opportunity.hops, strict=True)):
        given = amounts_given and hop.kind is PoolKind.UNISWAP_V2 and amounts.amount_out < 1 << 8 * _OUT
        out.append(_GIVEN if given else _KIND_CODES[hop.kind])
        if given:
            out += amounts.amount_out.to_bytes(_OUT, "big")
        if hop.kind is PoolKind.UNISWAP_V3:
            out += hop.fee_ppm.to_bytes(_FEE, "big")
        out += _raw(hop.pool)[-_TAG:]
        if index + 1 < len(hops):
            out += _raw(hop.token_out)
    return bytes(out)


def decode_execute(calldata: bytes) -> dict[str, object]:
    """What the bytes say, for showing beside what was meant; raises MalformedAnswer if they are not ours.

    `asset` and each hop's `pool` are the last eight digits of an address. The last hop's `token_out` is None: it gives
    the asset. A V2 hop's `fee_ppm` is None: the contract knows its exchange's. `amount_out` is None where the contract
    computes it.
    """
    if calldata[:4] != selector(EXECUTE):
        raise MalformedAnswer("calldata: not a call of Executor.executePacked")
    rest = _Bytes(calldata[4:])
    head = {name: rest.take(size) for name, size in _HEAD}
    code = head["lender"][0]
    names = {number: lender for lender, number in LENDER_CODES.items()}
    lender = names.get(code)
    source = _address(rest.take(_ADDRESS)) if lender in POOL_LENDERS else None
    kinds = {number: kind for kind, number in _KIND_CODES.items()} | {_GIVEN: PoolKind.UNISWAP_V2}
    hops: list[dict[str, object]] = []
    while True:
        number = rest.take(1)[0]
        if number not in kinds:
            raise MalformedAnswer(f"calldata: there is no pool kind {number}")
        fee = int.from_bytes(rest.take(_FEE), "big") if kinds[number] is PoolKind.UNISWAP_V3 else None
        amount = int.from_bytes(rest.take(_OUT), "big") if number == _GIVEN else None
        pool = "0x" + rest.take(_TAG).hex()
        out = _address(rest.take(_ADDRESS)) if rest.left else None
        hop: dict[str, object] = {
            "pool": pool,
            "kind": str(kinds[number]),
            "fee_ppm": fee,
            "token_out": out,
            "amount_out": amount,
        }
        hops.append(hop)
        if out is None:
            break
    return {
        "ticket": "0x" + head["ticket"].hex(),
        "lender": str(lender or code),
        "source": source,
        "asset": "0x" + head["asset"].hex(),
        **{name: int.from_bytes(head[name], "big") for name in ("amount_in", "min_profit", "last_block")},
        "hops": hops,
    }


class _Bytes:
    """Taken from the front; raises MalformedAnswer where there is less."""

    def __init__(self, raw: bytes) -> None:
        self._raw, self._at = raw, 0

    @property
    def left(self) -> int:
        return len(self._raw) - self._at

    def take(self, size: int) -> bytes:
        if self.left < size:
            raise MalformedAnswer(f"calldata: it ends {size - self.left} bytes too early")
        self._at += size
        return self._raw[self._at - size : self._at]


def _raw(address: Address) -> bytes:
    return bytes.fromhex(address[2:])


def _address(raw: bytes) -> Address:
    return parse_address("0x" + raw.hex())
