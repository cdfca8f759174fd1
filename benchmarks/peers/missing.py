"""Things that other libraries have and this package has not, each with what shows it."""

from __future__ import annotations

from benchmarks.peers.proofs import Missing, Proof

MISSING = (
    Missing(
        "LIME, KernelSHAP, occlusion, Sobol",
        "interpreto, Captum; Inseq (LIME, occlusion); ferret (LIME, SHAP)",
        (
            ("interpreto", Proof("interpreto/attributions/__init__.py", '^    "(Lime|KernelShap|Occlusion|Sobol)"', 4)),
            ("captum", Proof("captum/attr/__init__.py", '^    "(Lime|KernelShap|Occlusion)"', 3)),
            ("inseq", Proof("inseq/attr/feat/perturbation_attribution.py", 'method_name = "(lime|occlusion)"', 2)),
            ("ferret-xai", Proof("ferret/explainers/*.py", "^class (LIME|SHAP)Explainer", 2)),
        ),
    ),
    Missing(
        "DeepLIFT, GradientSHAP",
        "Captum, Inseq; interpreto (GradientSHAP)",
        (
            ("captum", Proof("captum/attr/__init__.py", '^    "(DeepLift|GradientShap)"', 2)),
            ("inseq", Proof("inseq/attr/feat/gradient_attribution.py", 'method_name = "(deeplift|gradient_shap)"', 2)),
            ("interpreto", Proof("interpreto/attributions/__init__.py", '^    "GradientShap"')),
        ),
    ),
    Missing(
        "explanations of every token of a generation; encoder-decoders that generate",
        'Inseq, Captum, interpreto, LXT, flashtrace; here `output="next_token"` or `"answer"` of a decoder',
        (
            ("inseq", Proof("inseq/attr/step_functions.py", "def contrast_logits_fn")),
            ("lxt", Proof("*README.md", "(?i)contrastive")),
            ("captum", Proof("captum/attr/__init__.py", '^    "LLMAttribution"')),
            ("interpreto", Proof("interpreto/attributions/base.py", "ForCausalLM")),
            ("flashtrace", Proof("flashtrace/tracer.py", "hops: int")),
        ),
    ),
    Missing(
        "AttnLRP",
        "LXT, flashtrace; claimed by a patent, so not here",
        (
            ("lxt", Proof("*README.md", "LRP is a patented technology")),
            ("flashtrace", Proof("flashtrace/attribution.py", "^class LLMLRPAttribution")),
        ),
    ),
    Missing(
        "class activation maps, more than twenty",
        "pytorch-grad-cam",
        (("grad-cam", Proof("pytorch_grad_cam/*.py", r"^class \w*(CAM\w*|FEM|FullGrad|SESS)\b", 21)),),
    ),
    Missing(
        "attribution from module to module within a block",
        "lig",
        (("layer-wise-integrated-gradients", Proof("lig/api.py", "granularity")),),
    ),
    Missing(
        "concepts; logit lens",
        "interpreto",
        (
            ("interpreto", Proof("interpreto/concepts/base.py", "^class Concept")),
            ("interpreto", Proof("interpreto/lens/logit_lens.py", "^class ")),
        ),
    ),
    Missing(
        "waterfall and force plots",
        "shap; `a.to_shap()` hands results to them",
        (
            ("shap", Proof("shap/plots/_waterfall.py", "^def waterfall")),
            ("shap", Proof("shap/plots/_force.py", "^def force")),
        ),
    ),
    Missing(
        "ready explainers for tagging, question answering, zero-shot text",
        "transformers-interpret; here `output=` is a function",
        (
            (
                "transformers-interpret",
                Proof("*.py", "^class (TokenClassification|QuestionAnswering|ZeroShotClassification)Explainer", 3),
            ),
        ),
    ),
    Missing(
        "plausibility on named data sets in one call",
        "ferret",
        (("ferret-xai", Proof("ferret/benchmark.py", "def evaluate_samples")),),
    ),
)
