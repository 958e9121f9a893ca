"""degenbot's `solve_all_paths` on given cycles: run by a Python that has degenbot, fed and answering by JSON.

Standard input: {"pools": [[address, token0, token1, reserve0, reserve1, fee_ppm], …], "cycles": [[[pool, side], …], …],
"repeats": n}. Standard output: {"ms": [each solve], "cpu_ms": [the same in processor time],
"results": [[cycle, input, profit], …], "version": …}.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import sys
import time
from math import gcd


def main() -> None:
    asked = json.load(sys.stdin)
    # degenbot writes a log to standard output; the answer must stand there alone.
    answer_to = os.dup(1)
    os.dup2(2, 1)
    from degenbot._ffi import ArbitrageEngine, Bot

    bot = Bot(1)
    for token in sorted({token for pool in asked["pools"] for token in pool[1:3]}):
        bot.register_token(token, "", "T", 18, 1)
    ids = []
    for address, token0, token1, reserve0, reserve1, fee in asked["pools"]:
        shared = gcd(1_000_000, fee)
        kept, whole = (1_000_000 - fee) // shared, 1_000_000 // shared
        ids.append(
            bot.register_v2_pool_test_only(
                address,
                token0,
                token1,
                int(reserve0),
                int(reserve1),
                kept,
                whole,
                kept,
                whole,
                "0x5C69bEe701ef814a2B6a3EDD4B1652CB9cc5aA6f",
                1,
                "uniswap-v2",
                False,
                None,
            )
        )
    engine = ArbitrageEngine(bot)
    engine.set_path_cap(None)
    numbers = {}
    for number, cycle in enumerate(asked["cycles"]):
        path_id, _ = engine.register_path([(ids[pool], side == 0) for pool, side in cycle])
        numbers[path_id] = number
    times, cpu_times = [], []
    for block in range(asked["repeats"]):
        begun, cpu = time.perf_counter(), time.process_time()
        engine.solve_all_paths(block + 2)
        times.append((time.perf_counter() - begun) * 1000)
        cpu_times.append((time.process_time() - cpu) * 1000)
    found, _ = engine.latest_results()
    results = [[numbers[row[0]], str(row[1]), str(row[2])] for row in found]
    version = importlib.metadata.version("degenbot")
    with os.fdopen(answer_to, "w") as out:
        json.dump({"ms": times, "cpu_ms": cpu_times, "results": results, "version": version}, out)


if __name__ == "__main__":
    main()
