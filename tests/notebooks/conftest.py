from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat import NotebookNode
from traitlets.config import Config

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"


@dataclass
class Executed:
    """A notebook that ran to its end."""

    notebook: NotebookNode

    def outputs(self, cell: str) -> list[NotebookNode]:
        """What the cell of that id left."""
        (found,) = [each for each in self.notebook.cells if each["id"] == cell]
        return list(found["outputs"])

    def text(self, cell: str) -> str:
        """Printed text, plain or HTML, of a cell."""
        return "".join(
            output.get("text", "") or output.get("data", {}).get("text/html", "")
            for output in self.outputs(cell)
        )

    def pictures(self) -> dict[str, list[str]]:
        """PNGs in base64 by cell id."""
        found = {
            cell["id"]: [
                output["data"]["image/png"]
                for output in cell.get("outputs", [])
                if "image/png" in output.get("data", {})
            ]
            for cell in self.notebook.cells
        }
        return {cell: pictures for cell, pictures in found.items() if pictures}


Execute = Callable[..., Executed]


@pytest.fixture
def execute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Execute:
    """Runs a copy of a notebook in a kernel of its own: no network, no files outside a test's folder."""
    for name in list(os.environ):
        if name.startswith("ARBTUI_"):
            monkeypatch.delenv(name)
    for name in ("JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "IPYTHONDIR", "HOME"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
        (tmp_path / name.lower()).mkdir()
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
        monkeypatch.setenv(name.lower(), "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)

    def run(name: str, store: Path, then: str = "") -> Executed:
        """`then`: a cell that is run after the last."""
        folder = tmp_path / "notebooks"
        folder.mkdir(exist_ok=True)
        notebook = nbformat.read(NOTEBOOKS / name, as_version=4)
        if then:
            notebook.cells.append(nbformat.v4.new_code_cell(then, id="then"))
        monkeypatch.setenv("ARBTUI_STORE__DIRECTORY", str(store))
        # Sockets of the file system, whose names must be short, instead of ports that others may take.
        with tempfile.TemporaryDirectory(prefix="nb") as sockets:
            config = Config(ConnectionFileMixin={"transport": "ipc", "ip": f"{sockets}/k"})
            client = NotebookClient(
                notebook,
                config=config,
                kernel_name="python3",
                timeout=60,
                resources={"metadata": {"path": str(folder)}},
            )
            asyncio.run(client.async_execute())
        nbformat.validate(notebook)
        return Executed(notebook)

    return run
