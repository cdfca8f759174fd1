"""Tables of Parquet are needed."""

import pytest

pytest.importorskip("pyarrow")
