"""Tables in Markdown."""

from calig_fast.bench.markdown import table


def test_a_table():
    assert table(["a", "b"], [[1, "x"], [None, 2.5]]) == "| a | b |\n| --- | --- |\n| 1 | x |\n| None | 2.5 |\n"


def test_no_rows():
    assert table(("a",), iter(())) == "| a |\n| --- |\n"
