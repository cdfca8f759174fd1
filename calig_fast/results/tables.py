"""Exports as tables: records, pandas, Arrow, Parquet and shap, of scores by token, word, sentence or patch."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._utils import files
from . import records, shap_values

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    import shap

    from .grouping import Grouped

_PANDAS = {int: "Int64", float: "float64", str: "string", bool: "boolean"}


def needed(package: str, extra: str, what: str) -> Any:
    """Import an optional package.

    Args:
        package: its module.
        extra: of pyproject.toml, that installs it.
        what: the method that needs it, for the message.

    Raises:
        ImportError: it is not installed; the message names the extra.
    """
    try:
        return import_module(package)
    except ImportError as error:
        raise ImportError(
            f"{what} needs {package.split('.')[0]}: pip install 'calig_fast[{extra}]'", name=package
        ) from error


class Tables:
    """The exports that scores of tokens and scores of words share. Columns: docs/exports.md."""

    def _grouped(self) -> Grouped:
        raise NotImplementedError

    def to_records(self, layers: Sequence[int] | None = None) -> list[dict[str, Any]]:
        """The rows as dicts: one for each unit, padding left out, with plain values.

        Args:
            layers: rows of `layer_scores` to export as columns `layer_<block>`, None for all.

        Returns:
            a list of dicts; None where a value does not apply, nan where a number is not known.

        Raises:
            TypeError: `layers` is no list of ints.
            IndexError: no such layer.
        """
        return records.table(self._grouped(), layers).records()

    def to_pandas(self, layers: Sequence[int] | None = None) -> pd.DataFrame:
        """The rows of `to_records` as a DataFrame of nullable columns; `attrs["schema_version"]` is the version.

        Args:
            layers: rows of `layer_scores` to export, None for all.

        Raises:
            ImportError: pandas is not installed; it comes with the extra `tables`.
            TypeError, IndexError: see `to_records`.
        """
        pandas = needed("pandas", "tables", "to_pandas")
        table = records.table(self._grouped(), layers)
        made = pandas.DataFrame(
            {name: pandas.array(table.columns[name], dtype=_PANDAS[kind]) for name, kind in table.types.items()}
        )
        made.attrs["schema_version"] = records.SCHEMA_VERSION
        return made

    def to_arrow(self, layers: Sequence[int] | None = None) -> pa.Table:
        """The rows of `to_records` as an Arrow table; its metadata holds `schema_version`.

        Args:
            layers: rows of `layer_scores` to export, None for all.

        Raises:
            ImportError: pyarrow is not installed; it comes with the extra `tables`.
            TypeError, IndexError: see `to_records`.
        """
        arrow = needed("pyarrow", "tables", "to_arrow")
        table = records.table(self._grouped(), layers)
        types = {int: arrow.int64(), float: arrow.float64(), str: arrow.string(), bool: arrow.bool_()}
        schema = arrow.schema(
            [arrow.field(name, types[kind]) for name, kind in table.types.items()],
            metadata={"schema_version": str(records.SCHEMA_VERSION)},
        )
        return arrow.table(table.columns, schema=schema)

    def to_parquet(self, path: str | Path, layers: Sequence[int] | None = None) -> Path:
        """Write the table of `to_arrow` to one Parquet file; a kill or a full disk leaves the old file or the new one.

        Args:
            path: the file.
            layers: rows of `layer_scores` to export, None for all.

        Returns:
            the path.

        Raises:
            ImportError: pyarrow is not installed; it comes with the extra `tables`.
            TypeError, ValueError: `path` is not the name of a file.
            IndexError: no such layer.
            OSError: the file cannot be written; an existing file is unchanged.
        """
        files.named(path)
        arrow, parquet = needed("pyarrow", "tables", "to_parquet"), needed("pyarrow.parquet", "tables", "to_parquet")
        content = arrow.BufferOutputStream()
        parquet.write_table(self.to_arrow(layers), content)
        return files.write(path, memoryview(content.getvalue()))

    def to_shap(self, layer: int | None = None) -> shap.Explanation:
        """The scores as a `shap.Explanation`, for the plots of shap.

        Without an image the features are the units; with one they are its pixels, each with an equal share of the
        score of its patch. `base_values` is F(x') = F(x) - gap where the scores add up to the gap: layer scores, and
        scores that equal those of a layer. Elsewhere it is F(x) - sum of the values, with a warning, so that a plot
        ends at F(x) but does not begin at F(x'). With an output function of the caller F(x) is not known, and counts
        as 0 at the baseline.

        Args:
            layer: None for `scores`, else the row of `layer_scores`.

        Returns:
            values and data [T] of each input (pixels [B,H,W,3]), and `base_values` [B]. Feature names are the units;
            the output name is the label where all inputs have one, and instance names are the labels. Scores that are
            nan stay nan, which some plots of shap do not take.

        Raises:
            ImportError: shap is not installed; it comes with the extra `shap`.
            IndexError: no such layer.
            TypeError: no int.
        """
        package = needed("shap", "shap", "to_shap")
        return package.Explanation(**shap_values.arguments(self._grouped(), layer))
