"""The page of `calig compare`: the tables, then the explanations of all methods side by side."""

from __future__ import annotations

from collections.abc import Sequence

from jinja2 import Environment

from .. import compare
from ..views.html import compare_fragment
from ..views.origin import origin
from .compared import Compared

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Methods compared: {{ origin }}</title>
<style>
:root { color-scheme: light dark; }
body { margin: 0 auto; padding: 1rem; max-width: 70rem; font: 15px/1.5 system-ui, sans-serif; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .7rem; border-bottom: 1px solid #8885; text-align: right; white-space: pre; }
th:first-child, td:first-child { text-align: left; }
</style>
</head>
<body>
<main>
<h1>Methods compared</h1>
{% for columns, rows in tables %}
<div class="wide"><table>
<thead><tr>{% for name in columns %}<th>{{ name }}</th>{% endfor %}</tr></thead>
<tbody>
{% for row in rows %}<tr>{% for cell in row %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}
</tbody></table></div>
{% if loop.first %}<p>{{ note }}</p>{% endif %}
{% endfor %}
<section><h2>Side by side</h2>
{{ shown|safe }}
</section>
</main>
</body>
</html>
"""


def page(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    agreement: Sequence[Sequence[str]],
    note: str,
    compared: Sequence[Compared],
) -> str:
    """One HTML file that loads nothing.

    Args:
        columns: of the table of methods.
        rows: its rows.
        agreement: table of rank agreement, its head first.
        note: the meaning of the first table.
        compared: the methods with the attributions to show.
    """
    attributions = {one.name: one.attribution for one in compared if one.attribution is not None}
    models = [a.settings.model for a in attributions.values()]
    template = Environment(autoescape=True, trim_blocks=True).from_string(PAGE)
    tables = [(columns, rows), (agreement[0], agreement[1:])]
    shown = compare_fragment(compare(attributions))
    return template.render(tables=tables, note=note, shown=shown, origin=origin(models)) + "\n"
