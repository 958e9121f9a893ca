"""A picture of the desk on a sample store: `python -m tests.tui.picture OUT.svg|OUT.png|OUT.txt [--size 120x40] …`."""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import tempfile
from pathlib import Path

from arbtui.domain import NATIVE, Delta
from arbtui.units import ETHER
from tests import factories as make
from tests.tui.sample import Sample, fill
from tests.tui.screens import grid, settle, until

SCREENS = (
    "opportunities",
    "executions",
    "log",
    "approve",
    "reject",
    "detail",
    "help",
    "quit",
    "stale",
    "empty",
    "unreconciled",
)


async def draw(size: tuple[int, int], screen: str, theme: str, ascii_only: bool) -> tuple[str, str]:
    """The desk as SVG and as text."""
    with tempfile.TemporaryDirectory() as folder:
        sample = Sample(Path(folder))
        try:
            # A picture must not hold a process number that changes.
            (sample.directory / "engine.lock").write_text("4242\n")
            if screen != "empty":
                fill(sample)
            if screen == "unreconciled":
                sample.differ(
                    Delta(make.WALLET, NATIVE, -3 * ETHER // 10), Delta(make.EXECUTOR, make.DAI.address, 1)
                )
                sample.differ(Delta(make.TREASURY, make.WETH.address, 7))
            app = sample.desk(owns_engine=True, ascii=ascii_only)
            app.theme = theme
            async with app.run_test(size=size) as pilot:
                if screen != "empty":
                    await until(pilot, lambda: app.view is not None and app.view.waiting, "the view")
                if screen == "stale":
                    sample.clock.forward(60)
                for key in (
                    {
                        "executions": "2",
                        "log": "7",
                        "unreconciled": "7",
                        "approve": "a",
                        "reject": "x",
                        "help": "?",
                        "quit": "q",
                        "detail": "enter",
                    }.get(screen, ""),
                ):
                    if key:
                        await settle(pilot)
                        await pilot.press(key)
                app.repaint()
                await settle(pilot)
                return app.export_screenshot(title="arbtui"), grid(pilot)
        finally:
            sample.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--size", default="120x40")
    parser.add_argument("--screen", default="opportunities", choices=SCREENS)
    parser.add_argument("--theme", default="arb-dark")
    parser.add_argument("--ascii", action="store_true")
    given = parser.parse_args()
    columns, _, rows = given.size.partition("x")
    svg, text = asyncio.run(draw((int(columns), int(rows)), given.screen, given.theme, given.ascii))
    if given.out.suffix == ".txt":
        given.out.write_text(text + "\n")
    elif given.out.suffix == ".svg":
        given.out.write_text(svg)
    else:
        _png(svg, given.out)


def _png(svg: str, out: Path) -> None:
    """Through a headless chromium, in a monospaced font of this machine."""
    head = svg[: svg.index(">") + 1]
    width, height = (float(part) for part in head.split('viewBox="0 0 ')[1].split('"')[0].split())
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "desk.html"
        page.write_text(
            "<style>body{margin:0}svg{display:block}</style>" + svg.replace("Fira Code", "DejaVu Sans Mono")
        )
        subprocess.run(
            [
                *("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"),
                *(
                    f"--screenshot={out.absolute()}",
                    f"--window-size={int(width)},{int(height)}",
                    page.as_uri(),
                ),
            ],
            check=True,
            capture_output=True,
        )


if __name__ == "__main__":
    main()
