"""Columns of Arrow data: parquet files, and rows that the ``datasets`` library holds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from autokd.core.errors import DataError


def read_parquet(path: Path) -> tuple[dict[str, Any], dict[str, tuple[str, ...]]]:
    """``(columns, classes)``: Arrow columns by name, and the names of the classes for columns that hold class ids.

    Raises DataError for a file that is missing or broken, or has two columns of one name.
    """
    import pyarrow as pa  # slow to import, and most files need none of it
    import pyarrow.parquet as pq

    try:
        table = pq.ParquetFile(path).read()
    except (OSError, pa.ArrowException) as error:
        reason = "no such file" if isinstance(error, FileNotFoundError) else str(error).split("\n")[0].rstrip(".")
        raise DataError(f"a data file must be readable parquet, but {str(path)!r} is not: {reason}.") from error
    names = table.column_names
    if len(set(names)) < len(names):
        raise DataError(f"{str(path)!r}: column names must differ, but they are {', '.join(names)}.")
    return dict(zip(names, table.columns, strict=True)), _classes(table.schema.metadata or {})


def _classes(metadata: Mapping[bytes, bytes]) -> dict[str, tuple[str, ...]]:
    """What ``datasets`` noted in a file of its own about columns of class ids."""
    try:
        features = json.loads(metadata.get(b"huggingface", b"{}")).get("info", {}).get("features", {})
        return {
            name: tuple(map(str, feature["names"]))
            for name, feature in features.items()
            if isinstance(feature, dict) and feature.get("_type") == "ClassLabel"
        }
    except (ValueError, AttributeError, KeyError, TypeError):
        return {}  # somebody else's note


def dataset_columns(rows: Any, names: tuple[str, ...]) -> tuple[dict[str, Any], dict[str, tuple[str, ...]]]:
    """The same of these columns of a ``datasets.Dataset``."""
    table = rows.select_columns(list(names)).with_format("arrow")[:]
    classes = {name: getattr(rows.features[name], "names", None) for name in names}
    return {name: table.column(name) for name in names}, {
        name: tuple(map(str, found)) for name, found in classes.items() if found
    }
