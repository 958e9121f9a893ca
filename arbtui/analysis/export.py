"""A store's tables and views as Parquet files, for DuckDB, polars, pandas or Spark."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from arbtui.errors import StoreError
from arbtui.store.driver import mapped
from arbtui.store.queries import StoreReader
from arbtui.store.upkeep import relations, whole_file

_TYPES: dict[str, type[pl.DataType]] = {"INTEGER": pl.Int64, "INT": pl.Int64, "REAL": pl.Float64}


def export_parquet(reader: StoreReader, folder: Path, wanted: tuple[str, ...] = ()) -> dict[str, int]:
    """A Parquet file (zstd) for each table and view, all of one moment; rows written, by name.

    Exact amounts stay text: no column type of Parquet's common readers holds 256 bits. Raises StoreError where the
    folder cannot be written.
    """
    known = relations(reader, wanted)
    with mapped(folder):
        folder.mkdir(parents=True, exist_ok=True)
    written: dict[str, int] = {}
    with reader.snapshot():
        for name in known:
            types = {
                str(row["name"]): str(row["type"]).upper()
                for row in reader.query("SELECT name, type FROM pragma_table_xinfo(?)", (name,))
            }
            rows = list(reader.rows_of(name, known[name]))
            columns = {
                column: pl.Series(
                    column, [row[i] for row in rows], _dtype(types.get(column, ""), [row[i] for row in rows])
                )
                for i, column in enumerate(known[name])
            }
            part = folder / f"{name}.parquet.part"
            with whole_file(part), mapped(part):
                try:
                    pl.DataFrame(columns).write_parquet(part, compression="zstd")
                except pl.exceptions.PolarsError as error:
                    # Polars tells of a full disk by an error of its own.
                    told = " ".join(str(error).split()).lower()
                    raise StoreError(
                        f"{part} could not be written ({told}); mend it and try again"
                    ) from error
                part.replace(folder / f"{name}.parquet")
            written[name] = len(rows)
    return written


def _dtype(declared: str, values: list[object]) -> type[pl.DataType]:
    """The column's type; a view's computed column has none, and is what its values are."""
    if declared in _TYPES:
        return _TYPES[declared]
    kinds = {type(value) for value in values if value is not None}
    if kinds == {int}:
        return pl.Int64
    if kinds and kinds <= {int, float}:
        return pl.Float64
    return pl.String
