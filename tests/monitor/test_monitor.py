"""The monitor's reports, the times of its looks, and the handling of a look that fails."""

import copy
import warnings
from itertools import pairwise

import pytest
import torch
from helpers.clock import Clock
from helpers.looks import Writer
from helpers.tiny_models import ids, pixels, tiny
from torch import nn

from calig_fast import Explainer
from calig_fast.monitor import Monitor, Probe
from calig_fast.monitor.history import MOST


def model(kind="bert"):
    return copy.deepcopy(tiny(kind)).train()


def always(watched, probes, **options):
    return Monitor(watched, probes, **{"overhead": 1, "strict": True, **options})


def changed(watched):
    """A step of training that moves the weights a lot."""
    with torch.no_grad():
        for w in watched.parameters():
            w.add_(0.3 * torch.randn(w.shape, generator=torch.Generator().manual_seed(w.numel())))


def test_a_look_is_what_explain_says_of_the_same_weights():
    watched, x = model(), ids(9, 6)
    monitor = always(watched, [x, Probe({k: v[:1] for k, v in x.items()}, target=3, name="third")])
    for _ in range(2):
        monitor.step()
        changed(watched)
    for name, row, target in (("probe 0", 0, None), ("probe 1", 1, None), ("third", 0, 3)):
        first, last = monitor.histories[name].looks
        fresh = Explainer(tiny("bert"), n_steps=1)({k: v[row : row + 1] for k, v in x.items()}, target=target)
        assert first.scores == pytest.approx(fresh.scores[0, fresh.mask[0]].tolist(), rel=1e-4, abs=1e-7)
        assert first.label == fresh.label()
        assert last.scores != first.scores
        assert 0 < last.drift <= 2
        assert last.drift == last.drift_from_first


def test_the_target_is_the_class_of_the_first_look_and_stays():
    watched = model()
    monitor = always(watched, ids(9))
    monitor.step()
    first = monitor.histories["probe 0"].looks[0]
    assert first.predicted == first.label
    with torch.no_grad():
        watched.classifier.bias[(int(first.label.removeprefix("LABEL_")) + 1) % 4] += 100.0
    monitor.step()
    last = monitor.histories["probe 0"].looks[1]
    assert last.label == first.label
    assert last.predicted != first.predicted
    assert last.probability < 1e-6


def test_a_contrast_keeps_its_pair():
    monitor = always(model(), Probe(ids(9), target=(2, 0)), output="contrast")
    monitor.step()
    monitor.step()
    assert [look.label for look in monitor.histories["probe 0"].looks] == ["LABEL_2 - LABEL_0"] * 2


def test_pictures():
    monitor = always(model("vit"), pixels(2))
    assert monitor.step()
    look = monitor.histories["probe 1"].looks[0]
    assert len(look.scores) == 17
    assert len(look.layers) == 3
    assert sum(look.layers) == pytest.approx(1)


def test_the_end_points_alone_unless_certified():
    rough, fine = always(model(), ids(9)), always(model(), ids(9), certify="layers", tolerance=1e-3)
    rough.step()
    fine.step()
    one, two = rough.histories["probe 0"].looks[0], fine.histories["probe 0"].looks[0]
    assert one.converged is None
    assert two.converged is True
    assert two.score_error < 1e-3
    assert two.delta < one.delta


def test_a_method_that_integrates_nothing_has_no_delta():
    monitor = always(model(), ids(9), method="rollout", certify="layers")
    monitor.step()
    look = monitor.histories["probe 0"].looks[0]
    assert look.delta != look.delta
    assert look.converged is None


def test_every_is_the_least_spacing_and_a_step_told_twice_is_one():
    monitor = always(model(), ids(9), every=4)
    assert [monitor.step() for _ in range(9)] == [True, False, False, False, True, False, False, False, True]
    monitor = always(model(), ids(9))
    assert [monitor.step(number) for number in (500, 500, 501, 501)] == [True, False, True, False]


def test_looks_space_themselves_out_by_the_clock(monkeypatch):
    watched = model()
    monitor = Monitor(watched, ids(9), overhead=0.1, every=2)
    clock = monitor.budget.clock = Clock()
    monitor.budget.spent = 0.0
    look = monitor._look

    def slow(device):
        look(device)
        clock.now += 1.0

    monkeypatch.setattr(monitor, "_look", slow)
    looked = []
    for step in range(200):
        clock.now += 1.0
        if monitor.step():
            looked.append(step)
    gaps = [b - a for a, b in pairwise(looked[1:])]
    assert looked[0] == 0
    assert set(gaps) == {9}
    assert 0.09 < monitor.share <= 0.1


def test_close_looks_only_if_it_is_paid_for_and_writes_the_page(tmp_path):
    monitor = always(model(), ids(9), every=10, page=tmp_path / "deep" / "page.html")
    for _ in range(3):
        monitor.step()
    monitor.close()
    assert [look.step for look in monitor.histories["probe 0"].looks] == [1, 3]
    monitor.close()
    assert monitor.budget.looks == 2
    assert "2 looks" in (tmp_path / "deep" / "page.html").read_text(encoding="utf-8")
    poor = Monitor(model(), ids(9), overhead=1e-6, page=tmp_path / "poor.html")
    for _ in range(3):
        poor.step()
    poor.close()
    assert poor.budget.looks == 1
    assert (tmp_path / "poor.html").exists()


def test_a_look_before_the_first_step_shows_the_model_as_it_was():
    monitor = Monitor(model(), ids(9), overhead=1e-6)
    monitor.look()
    assert not monitor.step()
    assert [look.step for look in monitor.histories["probe 0"].looks] == [0]


class Breaks(nn.Module):
    """A head that stops working."""

    def __init__(self, inner):
        super().__init__()
        self.inner, self.broken = inner, False

    def forward(self, x):
        if self.broken:
            raise RuntimeError("no head today")
        return self.inner(x)


def breaking():
    watched = model()
    watched.classifier = Breaks(watched.classifier)
    return watched


def test_a_look_that_fails_is_told_once_and_the_next_one_counts():
    watched, seen, writer = breaking(), [], Writer()
    monitor = Monitor(watched, ids(9), overhead=1, log=[seen.append, writer])
    monitor.step()
    watched.classifier.broken = True
    with pytest.warns(UserWarning, match="step 2 failed at probe 'probe 0', and the training goes on.*no head today"):
        assert monitor.step()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert monitor.step()
    watched.classifier.broken = False
    monitor.step()
    assert [look.step for look in monitor.histories["probe 0"].looks] == [1, 4]
    (told,) = [r for r in seen if "error" in r]
    assert (told["step"], told["at"]) == (2, "probe 'probe 0'")
    assert told["error"].endswith("RuntimeError: no head today")
    assert len(writer.texts) == 1


def test_strict_raises_it():
    watched = breaking()
    monitor = always(watched, ids(9))
    watched.classifier.broken = True
    with pytest.raises(ValueError, match="own forward pass fails on them, with RuntimeError: no head today"):
        monitor.step()
    watched.classifier.broken = False
    assert monitor.step()


def test_one_bad_probe_does_not_hide_the_others():
    class Words:
        """A tokenizer that fails at one word."""

        all_special_ids, unk_token_id, pad_token_id, model_max_length = (1, 2), None, 0, 40
        bad = False

        def __deepcopy__(self, memo):
            return self

        def __call__(self, first, second=None, **options):
            from transformers import BatchEncoding

            if self.bad and "bad" in " ".join(first):
                raise KeyError("bad")
            rows = [[1, *(5 + len(w) for w in text.split()), 2] for text in first]
            if "return_tensors" not in options:
                return {"input_ids": rows}
            return BatchEncoding(
                {"input_ids": torch.tensor(rows), "attention_mask": torch.ones(len(rows), len(rows[0]))}
            )

        def convert_ids_to_tokens(self, values):
            return [str(v) for v in values]

    words = Words()
    monitor = Monitor(model(), ["one word", "bad word", Probe("another word", target=1)], words, overhead=1)
    words.bad = True
    with pytest.warns(UserWarning, match="failed at probe 'bad word'"):
        monitor.step()
    assert [len(monitor.histories[name].looks) for name in ("one word", "bad word", "another word")] == [1, 0, 1]
    assert monitor.histories["another word"].looks[0].label == "LABEL_1"
    assert "no look yet" in monitor.html()


def test_a_log_or_a_page_that_fails_does_not_end_the_training(tmp_path):
    def full(record):
        raise OSError("disk full")

    seen = []
    (tmp_path / "file").write_text("")
    monitor = Monitor(model(), ids(9, 6), overhead=1, log=[full, seen.append], page=tmp_path / "file" / "page.html")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        monitor.step()
        monitor.step()
        monitor.close()
    assert [str(w.message).split(",")[0] for w in caught] == [
        "monitor: a look at step 1 failed at its log",
        "monitor: a look at step 1 failed at its page",
    ]
    assert [r.get("at", r.get("probe")) for r in seen] == [
        "its log",
        "probe 0",
        "probe 1",
        "its page",
        "probe 0",
        "probe 1",
    ]


def test_only_rank_0_looks(monkeypatch, tmp_path):
    monkeypatch.setenv("RANK", "1")
    monitor = always(model(), ids(9), page=tmp_path / "page.html")
    assert not monitor.step()
    monitor.look()
    monitor.close()
    assert monitor.budget.looks == 0
    assert not list(tmp_path.iterdir())


def test_the_process_group_says_the_rank():
    distributed = torch.distributed
    if not distributed.is_available():
        pytest.skip("built without torch.distributed")
    from torch.testing._internal.distributed.fake_pg import FakeStore

    watched = model()
    for rank, looks in ((0, True), (1, False)):
        distributed.init_process_group("fake", store=FakeStore(), rank=rank, world_size=2)
        try:
            assert always(watched, ids(9)).step() is looks
        finally:
            distributed.destroy_process_group()


def test_wrapped_models_are_seen_through():
    watched = model()
    for wrapped in (nn.DataParallel(watched), torch.compile(watched)):
        monitor = always(wrapped, ids(9))
        monitor.step()
        assert len(monitor.histories["probe 0"].looks) == 1


def test_weights_that_were_sharded_since_are_not_waited_for():
    distributed = torch.distributed
    if not distributed.is_available():
        pytest.skip("built without torch.distributed")
    from torch.distributed.tensor import Replicate, distribute_tensor

    watched = model()
    monitor = always(watched, ids(9))
    distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
    try:
        mesh = distributed.device_mesh.init_device_mesh("cpu", (1,))
        part = distribute_tensor(watched.classifier.weight.detach(), mesh, [Replicate()])
        watched.classifier.weight = nn.Parameter(part)
        with pytest.raises(ValueError, match="its weights are sharded"):
            monitor.step()
    finally:
        distributed.destroy_process_group()


def test_a_long_run_keeps_a_bounded_history():
    monitor = always(model(), ids(5))
    monitor.step()
    history = monitor.histories["probe 0"]
    history.looks = history.looks * (2 * MOST - 1)
    history.values = history.values * (2 * MOST - 1)
    monitor.step()
    assert len(history.looks) == len(history.values) == MOST + 1
    assert (history.looks[0].step, history.looks[-1].step) == (1, 2)
