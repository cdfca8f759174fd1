"""The native path is given up where anything is not as it assumes, and leaves the model as it was."""

import copy

import captum.attr as captums
import pytest
import torch
from helpers.encoders import STEPS, Wrapper, blocks_of, compare, embeddings_of, image, model_of, text
from helpers.tiny_models import inputs
from helpers.toys import same
from torch import nn

from calig_fast import captum as ours


def declined(forward, layer, reason, kind="bert", model=None, **options):
    """Captum's result by autograd, for this reason."""
    x = inputs(kind)
    args, more = (x["input_ids"], x["attention_mask"]) if isinstance(x, dict) else (x, None)
    mine = compare("LayerIntegratedGradients", forward, args, (layer,), native=False,
                   additional_forward_args=more, **options)  # fmt: skip
    assert reason in mine.not_native


class Between(nn.Module):
    """Reads what every block made."""

    def __init__(self, bert):
        super().__init__()
        self.bert = bert

    def forward(self, ids):
        hidden, total = self.bert.embeddings(ids), 0
        for block in self.bert.encoder.layer:
            hidden = block(hidden)
            total = total + hidden[:, 0, :4]
        return total


def test_a_function_that_reads_hidden_states_of_all_blocks():
    bert = model_of("bert").bert
    mine = compare("LayerIntegratedGradients", Between(bert).eval(), inputs("bert")["input_ids"], (bert.embeddings,),
                   native=False)  # fmt: skip
    assert "reads more of the blocks" in mine.not_native


@pytest.mark.parametrize("read", [lambda hidden: hidden[1][:, 3, :4], lambda hidden: hidden[-1][:, -1, :4]])
def test_a_function_that_reads_next_to_nothing_of_what_is_not_computed(read):
    class Whisper(Between):
        def forward(self, ids, mask):
            square = mask[:, None, None].bool().expand(-1, 1, mask.shape[1], -1)
            hidden = [self.bert.embeddings(ids)]
            for block in self.bert.encoder.layer:
                hidden.append(block(hidden[-1], square))
            return hidden[-1][:, 0, :4] + 1e-7 * read(hidden)

    declined(Whisper(model_of("bert").bert).eval(), model_of("bert").bert.embeddings, "reads more of the blocks")


def test_hidden_states_that_transformers_collects():
    model = copy.deepcopy(model_of("bert"))

    def forward(i, mask):
        hidden = model.bert(i, attention_mask=mask, output_hidden_states=True).hidden_states
        return hidden[2][:, 0, :4] + hidden[-1][:, 0, 4:8]

    declined(forward, model.bert.embeddings, "told more than a hidden state")


def test_a_function_whose_rows_depend_on_each_other():
    model = model_of("bert")
    x = inputs("bert")
    lig = ours.LayerIntegratedGradients(lambda i, m: (z := text(model)(i, m)) - z.mean(0), model.bert.embeddings)
    lig.attribute(x["input_ids"], target=0, additional_forward_args=x["attention_mask"], n_steps=STEPS)
    assert "its rows depend on each other" in lig.not_native


def test_rows_that_depend_on_each_other_where_every_batch_goes_alone():
    model, x = model_of("bert"), inputs("bert")
    compare("LayerIntegratedGradients", lambda i, m: (z := text(model)(i, m)) - z.mean(0), x["input_ids"],
            (model.bert.embeddings,), additional_forward_args=x["attention_mask"], internal_batch_size=2)  # fmt: skip


def test_a_head_that_reads_padding():
    model = model_of("bert")
    declined(
        lambda i, m: model.bert(i, attention_mask=m).last_hidden_state.mean(1)[:, :4],
        blocks_of(model)[0],
        "reads more of the blocks",
    )


def test_a_block_that_is_not_what_its_family_says():
    model = copy.deepcopy(model_of("bert"))
    layer = model.bert.encoder.layer[1]
    kind = type(layer)
    layer.__class__ = type("Odd", (kind,), {"forward": lambda self, *a, **k: 1.001 * kind.forward(self, *a, **k)})
    declined(text(model), model.bert.embeddings, "computes something else than its family says")


def test_hooks_of_the_callers_are_not_run_past():
    model = copy.deepcopy(model_of("bert"))
    handle = model.bert.encoder.layer[2].output.register_forward_hook(lambda m, i, o: 2 * o)
    declined(text(model), model.bert.embeddings, "forward hooks")
    handle.remove()
    model.bert.encoder.layer[2].output.register_full_backward_hook(lambda m, i, o: (2 * i[0], *i[1:]))
    declined(text(model), model.bert.embeddings, "backward hooks")


def test_a_forward_that_was_replaced():
    model = copy.deepcopy(model_of("bert"))
    layer = model.bert.encoder.layer[0]
    own = type(layer).forward
    layer.forward = lambda *a, **k: own(layer, *a, **k)
    declined(text(model), model.bert.embeddings, "was replaced on the instance")
    assert "forward" in vars(layer)


def test_layers_inside_blocks_and_blocks_that_run_twice():
    bert, albert = model_of("bert"), model_of("albert")
    declined(text(bert), bert.bert.encoder.layer[0].intermediate, "inside a block")
    declined(text(albert), blocks_of(albert)[0], "runs 2 times", kind="albert")


def test_options_that_only_autograd_has():
    model = model_of("bert")
    declined(text(model), model.bert.embeddings, "create_graph", grad_kwargs={"create_graph": True})


def test_masks_that_are_more_than_padding():
    model = model_of("bert")
    above = torch.ones(9, 9, dtype=torch.bool).triu()
    bias = -0.1 * torch.arange(9.0).expand(9, 9)

    def masked(square):
        return lambda i, m: model(i, attention_mask=square.expand(len(i), 1, 9, 9)).logits

    for square, reason in (
        (above, "reads more of the blocks"),  # the last token alone looks at what all look at
        (above | (torch.arange(9) == 0), "differs from token to token"),
        (torch.eye(9, dtype=torch.bool), "is all padding"),
        (bias, "more than a mask of padding"),
    ):
        declined(masked(square), model.bert.embeddings, reason)


def test_a_model_that_rounds_more_than_its_dtype():
    model = copy.deepcopy(model_of("bert")).double()
    layer = model.bert.encoder.layer[1]
    kind = type(layer)
    rounded = {"forward": lambda self, *a, **k: kind.forward(self, *a, **k).float().double()}
    layer.__class__ = type("Rounded", (kind,), rounded)
    declined(text(model), model.bert.embeddings, "computes something else than its family says")


def test_autocast_and_half_precision():
    model, x = model_of("bert"), inputs("bert")
    half = copy.deepcopy(model).bfloat16()

    def reason(forward, layer):
        lig = ours.LayerIntegratedGradients(forward, layer)
        options = {"target": 0, "additional_forward_args": x["attention_mask"], "n_steps": 2}
        assert torch.isfinite(lig.attribute(x["input_ids"], **options)).all()
        return lig.not_native

    inside = torch.autocast("cpu", torch.bfloat16)(text(model))
    assert "computes something else" in reason(inside, model.bert.embeddings)
    assert "float32 or float64" in reason(text(half), half.bert.embeddings)
    with torch.autocast("cpu", torch.bfloat16):
        assert "autocast is on" in reason(text(model), model.bert.embeddings)


def test_training_mode_is_captums_training_mode():
    model = copy.deepcopy(model_of("bert")).train()
    found = []
    for kind in (ours, captums):
        torch.manual_seed(7)
        lig = kind.LayerIntegratedGradients(text(model), model.bert.embeddings)
        x = inputs("bert")
        found.append(lig.attribute(x["input_ids"], target=0, additional_forward_args=x["attention_mask"], n_steps=2))
        if kind is ours:
            assert lig.not_native == "the blocks are in training mode"
    same(*found)
    assert model.training


@pytest.mark.parametrize("name", ["LayerIntegratedGradients", "LayerConductance"])
def test_random_numbers_of_a_head_in_training_mode(name):
    torch.manual_seed(1)
    wrapper, found = Wrapper(model_of("vit").vit), []
    wrapper.forward = lambda x: wrapper.out(nn.functional.dropout(wrapper.backbone(x).last_hidden_state[:, 0]))
    for kind in (ours, captums):
        torch.manual_seed(7)
        method = getattr(kind, name)(wrapper, blocks_of(model_of("vit"))[1])
        found.append((method.attribute(inputs("vit"), target=0, n_steps=2), torch.rand(1)))
        if kind is ours:
            assert method.not_native == "forward_func draws random numbers"
    same(*found)


def test_a_wrapper_in_training_mode_and_anomaly_detection():
    torch.manual_seed(1)
    wrapper, x = Wrapper(model_of("bert").bert), inputs("bert")
    wrapper.backbone.eval()
    assert wrapper.training
    options = {"additional_forward_args": x["attention_mask"]}
    with torch.autograd.set_detect_anomaly(True):
        for layer in (wrapper.backbone.embeddings, wrapper.backbone.encoder.layer[0]):
            compare("LayerIntegratedGradients", wrapper, x["input_ids"], (layer,), **options)
            compare("LayerIntegratedGradients", text(model_of("bert")), x["input_ids"], (layer,), **options)


def test_two_encoders_in_one_function():
    bert, vit = model_of("bert"), model_of("vit")
    x, p = inputs("bert"), inputs("vit")

    def forward(i, pixels):
        return text(bert)(i) * image(vit)(pixels)

    for layer in (bert.bert.embeddings, embeddings_of(vit), blocks_of(vit)[1]):
        compare("LayerIntegratedGradients", forward, (x["input_ids"], p), (layer,))


def test_a_model_that_is_run_twice_in_one_function():
    model = model_of("bert")
    forward = lambda i, m: text(model)(i, m) - text(model)(i.flip(1), m.flip(1))  # noqa: E731
    declined(forward, model.bert.embeddings, "do not run one after another")


def test_the_model_is_as_before_even_after_an_error():
    model, x = copy.deepcopy(model_of("bert")), inputs("bert")
    before = {name: (m.training, dict(vars(m)).keys()) for name, m in model.named_modules()}
    lig = ours.LayerIntegratedGradients(text(model), model.bert.embeddings)
    lig.attribute(x["input_ids"], target=0, n_steps=2)
    with pytest.raises(ValueError, match="target"):
        lig.attribute(x["input_ids"], target=9, n_steps=2)
    failing = []

    def forward(i):
        failing.append(i)
        if len(failing) > 3:
            raise KeyError("the caller's own")
        return text(model)(i)

    with pytest.raises(KeyError):
        ours.LayerIntegratedGradients(forward, model.bert.embeddings).attribute(x["input_ids"], target=0, n_steps=2)
    assert {name: (m.training, dict(vars(m)).keys()) for name, m in model.named_modules()} == before
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    assert all(p.grad is None for p in model.parameters())
    from torch.nn.modules import module

    assert not module._global_forward_pre_hooks


def test_compiled_models_are_left_to_autograd():
    model, x = copy.deepcopy(model_of("bert")), inputs("bert")
    options = {"target": 0, "additional_forward_args": x["attention_mask"], "n_steps": 2}
    plain = ours.LayerIntegratedGradients(text(model), model.bert.embeddings).attribute(x["input_ids"], **options)
    model.classifier = torch.compile(model.classifier, backend="eager")
    lig = ours.LayerIntegratedGradients(text(model), model.bert.embeddings)
    same(lig.attribute(x["input_ids"], **options), plain)
    assert lig.not_native == "the model is compiled"
