"""Messages are read off the statements that raise them, and find their remedies."""

from helpers.documents import ROOT

from tools.error_index import index, remedies, sites

SOURCE = """
def one(value):
    if value:
        raise ValueError(f"value: expected {value!r}, " "or none")
    raise TypeError("another: " + value) from None


def two(error, text):
    if text:
        raise RuntimeError(text)
    raise error
"""


def test_messages_of_a_module_by_hand(tmp_path):
    (tmp_path / "room").mkdir()
    (tmp_path / "room/module.py").write_text(SOURCE)
    told = [(one.message, one.error, one.module, one.line) for one in sites(tmp_path)]
    assert told == [
        ("another: …", "TypeError", "room.module", 5),
        ("value: expected …, or none", "ValueError", "room.module", 4),
    ]


def test_rows_have_their_sections():
    page = "## One\n| message | reason |\n|---|---|\n| `a part` | x |\n## Two words\n| `b` | y |\n"
    assert remedies(page) == {"a part": "One", "b": "Two words"}


def test_the_page_links_a_message_to_its_remedy():
    line = next(line for line in index().splitlines() if "its weights are on the meta device" in line)
    assert "[The model](errors.md#the-model)" in line
    assert "| ValueError | model." in line
    assert len(remedies((ROOT / "docs/errors.md").read_text(encoding="utf-8"))) > 60
