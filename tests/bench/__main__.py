"""Every benchmark, one after the other: `make bench`, or `python -m tests.bench search`."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from tests.bench import engine, gas, reading, search, store, v3_quote

BENCHES: dict[str, tuple[str, Callable[[], list[str]]]] = {
    "search": ("the search against its goals", search.lines),
    "v3_quote": ("a V3 quote beside the bytecode in a local EVM", v3_quote.lines),
    "reading": ("discovery and state of 10,000 real pairs, on a local chain", reading.lines),
    "engine": ("from a block's arrival to what was decided on disk, on the local chain", engine.lines),
    "store": ("commits under two readers", store.lines),
    "gas": ("gas of the executor by lender and route, on a local chain", lambda: gas.lines(gas.measure())),
}


def main(wanted: list[str]) -> int:
    unknown = set(wanted) - set(BENCHES)
    if unknown:
        sys.stderr.write(f"no benchmark {', '.join(sorted(unknown))}; there are: {', '.join(BENCHES)}\n")
        return 2
    for name in wanted or BENCHES:
        title, run = BENCHES[name]
        begun = time.perf_counter()
        table = run()
        sys.stdout.write("\n".join([f"{name}: {title}", *table]))
        sys.stdout.write(f"\n{name} took {time.perf_counter() - begun:.1f} s\n\n")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
