"""A function of frames makes the rows of the corpus, also in another process."""

import pickle

import pytest
from helpers import corpora

from calig_fast import corpus

pandas = pytest.importorskip("pandas")


def test_frames_make_the_rows_of_the_corpus(tmp_path):
    model, tokenizer = corpora.text_model()
    rows = [{"key": f"k{i}", "text": text} for i, text in enumerate([*corpora.sentences(7), ""])]
    corpus.explain_corpus(model, rows, tmp_path, tokenizer, workers=0, id_column="key")
    frames = pickle.loads(pickle.dumps(corpus.Frames(model, tokenizer, id_column="key")))
    found = frames(pandas.DataFrame(rows))
    wanted = corpora.read(tmp_path, "tokens").to_pandas()
    pandas.testing.assert_frame_equal(found, wanted)
    inputs = corpus.Frames(model, tokenizer, id_column="key", inputs=True)(pandas.DataFrame(rows))
    assert inputs["error"].notna().tolist() == [False] * 7 + [True]
    empty = pandas.DataFrame(rows[:0], columns=["key", "text"])
    assert [len(frame) > 5 for frame in frames.map(iter([empty, pandas.DataFrame(rows)]))] == [True]
    with pytest.raises(ValueError, match="method"):
        corpus.Frames(model, tokenizer, id_column="key", method="lime")
