"""Pages and tables in Markdown."""

import jinja2
import pytest

from calig_fast.bench.markdown import page, row, ruler, table


def test_a_table():
    assert table(["a", "b"], [[1, "x"], [None, 2.5]]) == "| a | b |\n| --- | --- |\n| 1 | x |\n| None | 2.5 |\n"


def test_no_rows():
    assert table(("a",), iter(())) == "| a |\n| --- |\n"


def test_a_ruler_puts_figures_to_the_right():
    assert ruler(3, 2) == "| --- | --- | ---: |"
    assert row(["a", 1]) == "| a | 1 |"


def test_a_page_is_its_template_with_the_values(tmp_path):
    template = tmp_path / "page.md.j2"
    template.write_text("# {{ name }}\n{% for n in numbers %}\n{{ [n, n|e]|row }}\n{% endfor %}\n\nWritten & <done>.\n")
    wanted = "# A & B\n| 0.00123 | 1.2e-03 |\n\nWritten & <done>.\n"
    assert page(template, name="A & B", numbers=[0.00123]) == wanted
    with pytest.raises(jinja2.UndefinedError, match="'numbers' is undefined"):
        page(template, name="A & B")
