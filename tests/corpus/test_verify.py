"""Rows that are as they were agree; rows that were changed do not."""

import pytest
import torch
from helpers import corpora

from calig_fast import corpus


@pytest.fixture
def made(tmp_path):
    model, tokenizer = corpora.text_model()
    texts = corpora.text_file(tmp_path / "in.txt", [*corpora.sentences(9), ""])
    corpus.explain_corpus(model, texts, tmp_path / "out", tokenizer, workers=0, part_size=4)
    return tmp_path


def verified(folder, **options):
    model, tokenizer = corpora.text_model()
    return corpus.verify(folder / "out", model, tokenizer, **options)


def test_rows_agree_with_a_new_explanation(made):
    checked = verified(made, sample=100)
    assert [one.id for one in checked] == list(range(9))
    assert all(one.agrees for one in checked)
    assert len(verified(made, sample=3)) == 3


def test_a_changed_score_is_found(made):
    from pyarrow import parquet

    file = sorted((made / "out" / "tokens").iterdir())[0]
    table = parquet.read_table(file)
    scores = torch.tensor(table["score"].to_pylist()) * 1.5
    changed = table.set_column(table.column_names.index("score"), "score", [scores.tolist()])
    parquet.write_table(changed, file, compression="zstd")
    about = sorted((made / "out" / "inputs").iterdir())[0]
    size = corpus.parts.read_about(about).sizes["tokens"]
    if file.stat().st_size != size:  # a file of another size is no whole part
        assert len(verified(made, sample=100)) < 9
        return
    assert not all(one.agrees for one in verified(made, sample=100))


def test_changed_inputs_and_models_are_told(made):
    lines = (made / "in.txt").read_text().splitlines()
    (made / "in.txt").write_text("\n".join(["another", *lines[1:5]]))
    notes = {one.id: one.note for one in verified(made, sample=100)}
    assert notes[0] == "its content has changed"
    assert notes[8] == "it is gone from the inputs"
    assert notes[1] == ""
    with pytest.raises(ValueError, match="model: its weights are not those"):
        corpus.verify(made / "out", corpora.image_model()[0], corpora.text_model()[1])
    with pytest.raises(ValueError, match="holds no corpus"):
        verified(made / "nowhere")


def test_inputs_that_came_from_no_file(tmp_path):
    model, tokenizer = corpora.text_model()
    texts = corpora.sentences(4)
    corpus.explain_corpus(model, texts, tmp_path / "out", tokenizer, workers=0, by="word", target="all")
    with pytest.raises(ValueError, match="inputs: the corpus did not come from a file"):
        verified(tmp_path)
    assert all(one.agrees for one in verified(tmp_path, inputs=texts))
