"""The explanation of a frame of inputs as a frame of rows, for `mapInPandas` of Spark and `map_partitions` of Dask."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from typing_extensions import Unpack

from .. import Encoder, Explainer, ExplainOptions
from ..results.tables import needed
from .columns import Columns
from .explaining import Maker, Tables
from .items import content
from .sources import opened
from .tables import Explained, input_table, unit_table
from .work import work_of


class Frames:
    """A function of frames, which makes the rows that `explain_corpus` makes.

    It can be pickled; each process makes an Explainer of its own at its first frame.

    Args:
        model: see `explain`.
        processor: see `explain`.
        column: see `explain_corpus`.
        pair_column: see `explain_corpus`.
        id_column: see `explain_corpus`; the ids are texts.
        by: see `explain_corpus`.
        save_layers: see `explain_corpus`.
        inputs: rows of the table of inputs in place of tokens; it has the errors.
        encoder: see `explain`.
        **options: the options of `explain`.
    """

    def __init__(
        self,
        model: Any,
        processor: Any = None,
        *,
        id_column: str,
        column: str = "text",
        pair_column: str | None = None,
        by: str | None = None,
        save_layers: Sequence[int] | None = None,
        inputs: bool = False,
        encoder: Encoder | None = None,
        **options: Unpack[ExplainOptions],
    ) -> None:
        Explainer(model, processor, encoder=encoder, **options)  # wrong options are told here
        given: dict[str, Any] = {**options}
        self._given = (model, processor, encoder, given)
        self._columns = Columns(column, pair_column, id_column)
        self._tables = Tables(by, None if save_layers is None else tuple(save_layers))
        self._inputs = inputs
        self._maker: Maker | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_maker": None}

    def __call__(self, frame: Any) -> Any:
        """Explain a DataFrame of pandas.

        Returns:
            a DataFrame with the columns of the corpus.
        """
        needed("pandas", "tables", "frames")
        maker = self._made()
        items = [(item, content(item)) for item in opened(frame, self._columns).items()]
        made = maker.explained(items)
        table = self._table(made, maker)
        return None if table is None else table.to_pandas()

    def map(self, frames: Iterator[Any]) -> Iterator[Any]:
        """Explain an iterator of DataFrames, as `mapInPandas` gives them; frames without rows are left out."""
        for frame in frames:
            explanation = self(frame) if len(frame) else None
            if explanation is not None:
                yield explanation

    def _table(self, made: list[Explained], maker: Maker) -> Any:
        make = input_table if self._inputs else unit_table
        return make(made, False, maker.work.digest)

    def _made(self) -> Maker:
        if self._maker is None:
            model, processor, encoder, options = self._given
            explainer = Explainer(model, processor, encoder=encoder, **options)
            work = work_of(explainer, {**vars(self._tables), "numbered": False}, encoder)
            self._maker = Maker(explainer, work, self._tables, False)
        return self._maker
