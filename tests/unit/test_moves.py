from __future__ import annotations

from dataclasses import replace

from arbtui.domain import ClosedBy, Closing, Log
from arbtui.engine.moves import Moves, OpenPaths
from arbtui.market import SWAP_TOPICS
from arbtui.units import Address
from arbtui.validation import Ranked
from tests.factories import POOL_A, POOL_B, block_ref, opportunity, word

SWAP = min(SWAP_TOPICS)


def swap(pool: Address, block: int, index: int, tx: str = "foreign") -> Log:
    return Log(pool, (SWAP,), b"", block, word(tx, block), index)


def worth(block: int, net: int | None = 10**15) -> Ranked:
    return Ranked(opportunity(block=block_ref(block)), None, 0, 0, net)


def watched(*blocks: tuple[int, list[Log], bool]) -> tuple[OpenPaths, list[list[Closing]]]:
    """Each block's logs, and whether the path still pays on it."""
    moves = Moves()
    paths = OpenPaths(moves)
    told: list[list[Closing]] = []
    for number, logs, pays in blocks:
        block = block_ref(number)
        moves.take(block, logs, {word("ours", number)})
        told.append(list(paths.look(block, [worth(number)] if pays else [])))
    return paths, told


def test_the_first_swap_on_a_pool_of_the_path_closed_it() -> None:
    logs = [swap(POOL_B, 12, 9), swap(POOL_A, 12, 4), swap(POOL_A, 12, 2, "other")]
    _, told = watched(
        (10, [], True), (11, [], True), (12, sorted(logs, key=lambda log: log.log_index), False)
    )
    (closing,) = told[2]
    assert told[:2] == [[], []]
    assert closing.by is ClosedBy.FOREIGN
    assert closing.trade is not None
    assert closing.trade.log_index == 2
    assert closing.trade.tx_hash == word("other", 12)
    assert (closing.first_block, closing.last_block, closing.closed_block) == (10, 11, 12)
    assert closing.opportunity_id == opportunity(block=block_ref(11)).id


def test_swaps_before_it_was_last_seen_did_not_close_it() -> None:
    _, told = watched((10, [swap(POOL_A, 10, 1)], True), (11, [], False))
    (closing,) = told[1]
    assert (closing.by, closing.trade) == (ClosedBy.NOBODY, None)


def test_our_own_trade_is_told_as_ours_though_others_follow() -> None:
    logs = [swap(POOL_A, 11, 1, "ours"), swap(POOL_A, 11, 5)]
    _, told = watched((10, [], True), (11, logs, False))
    (closing,) = told[1]
    assert closing.by is ClosedBy.OURS


def test_what_would_have_left_nothing_is_no_loss() -> None:
    paths = OpenPaths(Moves())
    assert paths.look(block_ref(10), [worth(10, 0), worth(10, None), worth(10, -5)]) == []
    assert paths.look(block_ref(11), []) == []


def test_one_that_still_pays_but_less_than_its_costs_has_ended() -> None:
    moves = Moves()
    paths = OpenPaths(moves)
    paths.look(block_ref(10), [worth(10)])
    (closing,) = paths.look(block_ref(11), [worth(11, -1)])
    assert closing.by is ClosedBy.NOBODY
    assert closing.net_wei == 10**15


def test_a_block_that_was_undone_closed_nothing() -> None:
    moves = Moves()
    paths = OpenPaths(moves)
    paths.look(block_ref(10), [worth(10)])
    moves.take(block_ref(11), [swap(POOL_A, 11, 3, "gone")], ())
    moves.undo(11)
    moves.take(block_ref(11, fork=1), [swap(POOL_B, 11, 7, "stands")], ())
    (closing,) = paths.look(block_ref(11, fork=1), [])
    assert closing.trade is not None
    assert closing.trade.tx_hash == word("stands", 11)


def test_a_block_told_twice_counts_once_and_the_last_word_stands() -> None:
    moves = Moves()
    block = block_ref(11)
    moves.take(block, [swap(POOL_A, 11, 3)], ())
    moves.take(block, [swap(POOL_A, 11, 3)], {word("foreign", 11)})
    assert moves.last({POOL_A}) is None
    first = moves.first({POOL_A}, 10)
    assert first is not None
    assert first[1]


def test_other_logs_are_no_swaps() -> None:
    moves = Moves()
    log = replace(swap(POOL_A, 11, 3), topics=(word("Transfer"),))
    moves.take(block_ref(11), [log, replace(log, topics=())], ())
    assert moves.last({POOL_A}) is None


def test_a_path_whose_ticket_waits_is_told_by_the_ticket_s_opportunity() -> None:
    paths = OpenPaths(Moves())
    paths.look(block_ref(10), [worth(10)])
    paths.look(block_ref(11), [worth(11)], {opportunity().path.id})
    (closing,) = paths.look(block_ref(12), [])
    assert closing.opportunity_id == opportunity(block=block_ref(10)).id
    assert closing.last_block == 11


def kept(moves: Moves) -> list[tuple[Address, int]]:
    return [(pool, swap.block_number) for pool, swaps in moves._swaps.items() for swap in swaps]


def test_old_swaps_are_left_out_but_for_the_newest_foreign_one_of_a_pool() -> None:
    moves = Moves()
    ours = {word("ours", 12)}
    moves.take(block_ref(10), [swap(POOL_A, 10, 1), swap(POOL_A, 10, 2), swap(POOL_B, 10, 3)], ours)
    moves.take(block_ref(12), [swap(POOL_A, 12, 1, "ours")], ours)
    moves.take(block_ref(73), [], ours)
    assert len(kept(moves)) == 4
    moves.take(block_ref(74), [], ours)
    assert sorted(kept(moves)) == sorted([(POOL_A, 10), (POOL_A, 12), (POOL_B, 10)])
    moves.take(block_ref(76), [swap(POOL_B, 76, 1)], ours)
    assert sorted(kept(moves)) == sorted([(POOL_A, 10), (POOL_B, 10), (POOL_B, 76)])
    last = moves.last({POOL_A})
    assert last is not None
    assert (last.block_number, last.log_index) == (10, 2)
    # Of a block that is undone the one before counts again.
    moves.undo(76)
    last = moves.last({POOL_B})
    assert last is not None
    assert last.block_number == 10
    moves.take(block_ref(76, fork=1), [swap(POOL_B, 76, 1)], ours)
    moves.take(block_ref(140), [], ours)
    assert sorted(kept(moves)) == sorted([(POOL_A, 10), (POOL_B, 76)])


def test_our_own_old_swaps_leave_nothing() -> None:
    moves = Moves()
    moves.take(block_ref(10), [swap(POOL_A, 10, 1, "ours")], {word("ours", 10)})
    moves.take(block_ref(500), [], ())
    assert kept(moves) == []
    moves.undo(0)
    assert moves.last({POOL_A}) is None
