"""Mutation testing of the executor: is there a test that fails for each small fault put into the source?

`python -m tests.contracts.mutants [--seed N] [--limit N] [--seconds S]`. Each mutant is compiled as the artifact is and
put in the artifact's place in a copy of contracts/; then forge runs, with fewer fuzz cases than usual. A mutant that
does not compile, or compiles to the same code, is none. Exit 1 below 95 % killed; survivors that are explained in
`EXPLAINED` are listed with the reason and do not count as killed.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
CONTRACTS = ROOT / "contracts"
FORGE = ROOT / "node_modules" / "@foundry-rs" / "forge-linux-amd64" / "bin" / "forge"
TARGETS = ("src/Executor.sol", "src/Pools.sol", "src/Token.sol")
WANTED_PERCENT = 95
_TEST_TIMEOUT_S = 120
#: Fewer cases than the suites' own: what only one case in thousands sees must not be the only guard.
_FORGE = {"FOUNDRY_FUZZ_RUNS": "48", "FOUNDRY_INVARIANT_RUNS": "4", "FOUNDRY_INVARIANT_DEPTH": "64"}

#: (part of the line, mutated part) -> why no test can or need fail.
EXPLAINED: dict[tuple[str, str], str] = {
    ("delta > 0 ?", "delta >= 0 ?"): "equivalent: of a delta of 0 both branches make 0",
    ("uint256 private constant PAUSED = 1 << 144;", "uint256 private constant PAUSED = 1 << 143;"): (
        "equivalent: another bit of the state's word that nothing else uses"
    ),
    ("uint256 private constant PAUSED = 1 << 144;", "uint256 private constant PAUSED = 1 << 145;"): (
        "equivalent: another bit of the state's word that nothing else uses"
    ),
    ("SOURCE_AT, base, address(0))", "SOURCE_AT, base, address(1))"): (
        "equivalent: whom no pool may be is nobody, and no factory makes a pool there either"
    ),
    ("saltV3(one, other, ", "saltV3(other, one, "): "equivalent: the tokens are sorted inside",
    ("saltV2(one, other)", "saltV2(other, one)"): "equivalent: the tokens are sorted inside",
    ("_pairV2(takes, gives, ", "_pairV2(gives, takes, "): "equivalent: the tokens are sorted inside",
    ("_pairV2(token0, token1, ", "_pairV2(token1, token0, "): "equivalent: the tokens are sorted inside",
    ("if (gain > fee)", "if (gain >= fee)"): "equivalent: where they are equal both make 0",
    ("out > amountIn ?", "out >= amountIn ?"): "equivalent: where they are equal both make 0",
    ("sub(end, start), 0, 0)", "add(end, start), 0, 0)"): (
        "equivalent but for gas: more bytes behind the arguments, which the ABI ignores"
    ),
}

_SWAPS = (
    (r" == ", (" != ",)),
    (r" != ", (" == ",)),
    (r" <= ", (" < ", " > ")),
    (r" >= ", (" > ", " < ")),
    (r" < ", (" <= ", " >= ")),
    (r" > ", (" >= ", " <= ")),
    (r" && ", (" || ",)),
    (r" \|\| ", (" && ",)),
    (r" \+ ", (" - ",)),
    (r" - ", (" + ",)),
    (r" \* ", (" / ",)),
    (r" / ", (" * ",)),
    (r" & ", (" | ",)),
    (r" \| ", (" & ",)),
    (r" << ", (" >> ",)),
    (r" >> ", (" << ",)),
    (r" \+= ", (" -= ",)),
    (r" \|= ", (" &= ",)),
    (r"\btrue\b", ("false",)),
    (r"\bfalse\b", ("true",)),
    (r"\biszero\(", ("and(1, ",)),
    (r"\beq\(", ("lt(",)),
    (r"\bgt\(", ("lt(",)),
    (r"\blt\(", ("gt(",)),
    (r"\bslt\(", ("sgt(",)),
    (r"\band\(", ("or(",)),
    (r"\bor\(", ("and(",)),
    (r"\bmul\(", ("add(",)),
    (r"\bsub\(", ("add(",)),
    (r"\bxor\(", ("or(",)),
)
_NUMBER = re.compile(r"(?<![\w.])(\d{1,7})(?![\w.])")
_CALL = re.compile(r"\b([a-zA-Z_]\w*)\(([^(),]+), ([^(),]+)((?:, [^()]*)?)\)")
_COMMUTE = ("add", "mul", "and", "or", "xor", "eq")
_STATEMENT = re.compile(
    r"^\s*(?:if \(.*\) )?(?:revert|require|_\w+|\w+(?:\.\w+)*|\w+\[\w+\])(?:\(.*\)| [|&^]?= .*| .*);$"
)


@dataclass(frozen=True, slots=True)
class Mutant:
    path: str
    line: int
    before: str
    after: str
    text: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.before.strip()}  ->  {self.after.strip() or '(deleted)'}"


def mutants_of(path: str, text: str) -> Iterator[Mutant]:
    """Every mutant of one source, in order of place."""
    lines = text.splitlines()
    for number, line in enumerate(lines, 1):
        code = line.partition("//")[0].rstrip()
        if not code or code.lstrip().startswith(
            ("import", "pragma", "*", "error", "event", "uint8 private constant")
        ):
            continue
        for after in _variants(code):
            changed = [*lines[: number - 1], after, *lines[number:]]
            yield Mutant(path, number, line, after, "\n".join(changed) + "\n")


def _variants(code: str) -> Iterator[str]:
    seen = {code}
    for pattern, replacements in _SWAPS:
        for found in re.finditer(pattern, code):
            for replacement in replacements:
                yield from _new(code[: found.start()] + replacement + code[found.end() :], seen)
    for found in _NUMBER.finditer(code):
        # A call that takes or gives a byte more than is read is no fault: only less is one.
        up = () if "call(gas()" in code else (int(found[1]) + 1,)
        for value in (*up, int(found[1]) - 1):
            if value >= 0:
                yield from _new(code[: found.start()] + str(value) + code[found.end() :], seen)
    for found in _CALL.finditer(code):
        if found[1] in _COMMUTE:
            continue
        swapped = f"{found[1]}({found[3]}, {found[2]}{found[4]})"
        yield from _new(code[: found.start()] + swapped + code[found.end() :], seen)
    guard = re.match(r"^(\s*)if \((.*)\) (revert .*;)$", code)
    if guard:
        yield from _new("", seen)
        yield from _new(f"{guard[1]}{guard[3]}", seen)
    elif _STATEMENT.match(code) and not code.lstrip().startswith(
        ("return", "using", "uint", "address", "bytes")
    ):
        yield from _new("", seen)


def _new(variant: str, seen: set[str]) -> Iterator[str]:
    if variant not in seen:
        seen.add(variant)
        yield variant


class Bench:
    """A copy of contracts/ in which mutants take the artifact's place."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "contracts"
        shutil.copytree(CONTRACTS, self.folder, ignore=shutil.ignore_patterns("canary"))
        (folder / "node_modules").symlink_to(ROOT / "node_modules")
        self.sources = {
            path.relative_to(CONTRACTS).as_posix(): path.read_text("utf-8")
            for path in (CONTRACTS / "src").rglob("*.sol")
            if "devnet" not in path.parts
        }
        self._compiler = subprocess.Popen(
            ["node", str(Path(__file__).with_name("compile_mutants.mjs"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.original = self.compile({})
        if self.original is None or not self.passes():
            raise SystemExit("the suites do not pass without a mutant")

    def compile(self, changed: dict[str, str]) -> str | None:
        """The artifact's bytecode with some sources changed, written to its place; None where it does not compile."""
        assert self._compiler.stdin is not None
        assert self._compiler.stdout is not None
        self._compiler.stdin.write(json.dumps(self.sources | changed) + "\n")
        self._compiler.stdin.flush()
        answer = json.loads(self._compiler.stdout.readline())
        if "error" in answer:
            return None
        (self.folder / "artifacts" / "Executor.json").write_text(json.dumps(answer), "utf-8")
        return str(answer["bytecode"])

    def passes(self) -> bool:
        """Whether no test fails. The suite of single cases first, then what fuzzes."""
        return all(
            self._forge(*arguments) for arguments in (("--nmt", "Fuzz|invariant"), ("--mt", "Fuzz|invariant"))
        )

    def _forge(self, *arguments: str) -> bool:
        shutil.rmtree(self.folder / "cache" / "invariant", ignore_errors=True)
        shutil.rmtree(self.folder / "cache" / "fuzz", ignore_errors=True)
        command = [str(FORGE), "test", "--fail-fast", "--nmc", "DevnetTest", *arguments]
        try:
            done = subprocess.run(
                command,
                cwd=self.folder,
                env=os.environ | _FORGE,
                capture_output=True,
                timeout=_TEST_TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return False
        return done.returncode == 0

    def close(self) -> None:
        self._compiler.kill()
        self._compiler.wait()


def explained(mutant: Mutant) -> str | None:
    for (before, after), why in EXPLAINED.items():
        if (
            before in mutant.before
            and after in mutant.after
            and mutant.before.replace(before, after) == mutant.after
        ):
            return why
    return None


def run(seed: int, limit: int, seconds: float) -> int:
    """Prints a line a survivor and a sum; the exit code."""
    begun = time.monotonic()
    candidates = [m for path in TARGETS for m in mutants_of(path, (CONTRACTS / path).read_text("utf-8"))]
    random.Random(seed).shuffle(candidates)
    killed = none = 0
    survivors: list[Mutant] = []
    with tempfile.TemporaryDirectory(prefix="arbtui-mutants-") as name:
        bench = Bench(Path(name))
        try:
            for mutant in candidates:
                if killed + len(survivors) >= limit or time.monotonic() - begun > seconds:
                    break
                code = bench.compile({mutant.path: mutant.text})
                if code is None or code == bench.original:
                    none += 1
                elif bench.passes():
                    survivors.append(mutant)
                    why = explained(mutant)
                    sys.stdout.write(f"survived: {mutant}\n          {why or 'NOT EXPLAINED'}\n")
                    sys.stdout.flush()
                else:
                    killed += 1
        finally:
            bench.close()
    tried = killed + len(survivors)
    percent = 100 * killed / tried if tried else 0.0
    unexplained = sum(explained(mutant) is None for mutant in survivors)
    sys.stdout.write(
        f"{tried} mutants of {len(candidates)} candidates (seed {seed}; {none} more were none): "
        f"{killed} killed, {percent:.1f} %; {len(survivors)} survived, {unexplained} of them unexplained; "
        f"{time.monotonic() - begun:.0f} s\n"
    )
    return 0 if percent >= WANTED_PERCENT and not unexplained else 1


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--limit", type=int, default=150)
    parser.add_argument("--seconds", type=float, default=2400)
    arguments = parser.parse_args()
    return run(arguments.seed, arguments.limit, arguments.seconds)


if __name__ == "__main__":
    sys.exit(main())
