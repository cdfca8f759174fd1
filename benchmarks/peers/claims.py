"""The table of docs/peers.md: a row for each library, each cell with what shows it."""

from __future__ import annotations

from benchmarks.peers.proofs import INTEGRAL, NO_INTEGRAL, NO_METRICS, Fact, Peer, Proof, cell, everywhere

PEERS = (
    Peer(
        "captum",
        "0.9.0",
        "[Captum](https://captum.ai) 0.9",
        (
            cell("any PyTorch model", ("*/METADATA", "[Mm]odel interpretability.*PyTorch")),
            Fact(
                "more than twenty, for inputs, layers and neurons, and for large language models",
                (
                    Proof("captum/attr/__init__.py", r'^    "(Layer|Neuron)', 20),
                    Proof("captum/attr/__init__.py", '^    "LLMGradientAttribution"'),
                ),
            ),
            cell("any module", ("captum/attr/_core/layer/layer_integrated_gradients.py", r"layer: ModuleOrModuleList")),
            cell(
                "a fixed number of steps; the completeness delta where asked for",
                ("captum/attr/_core/integrated_gradients.py", "n_steps: int = 50"),
                ("captum/attr/_core/integrated_gradients.py", "return_convergence_delta"),
            ),
            cell(
                "infidelity, sensitivity",
                ("captum/metrics/__init__.py", '^    "infidelity"'),
                ("captum/metrics/__init__.py", '^    "sensitivity_max"'),
            ),
        ),
    ),
    Peer(
        "transformers-interpret",
        "0.10.0",
        "[transformers-interpret](https://pypi.org/project/transformers-interpret/) 0.10 (2023)",
        (
            cell("Hugging Face models in two lines", ("*/METADATA", "2 lines")),
            cell(
                "Captum's layer IG at the embeddings",
                (
                    "transformers_interpret/attributions.py",
                    r"LayerIntegratedGradients\(self\.custom_forward, self\.embed",
                ),
            ),
            Fact(
                "classification of texts and pairs, multi-label, zero-shot, question answering, tagging, images",
                everywhere(
                    "^class (SequenceClassification|PairwiseSequenceClassification|MultiLabelClassification|"
                    "ZeroShotClassification|QuestionAnswering|TokenClassification|ImageClassification)Explainer",
                    7,
                ),
            ),
            cell("as Captum", ("transformers_interpret/attributions.py", "return_convergence_delta=True")),
            NO_METRICS,
        ),
    ),
    Peer(
        "ferret-xai",
        "0.4.2",
        "[ferret](https://pypi.org/project/ferret-xai/) 0.4 (2024)",
        (
            cell("comparing explainers on text", ("ferret/benchmark.py", "def evaluate_explanations")),
            Fact(
                "gradient, IG, SHAP, LIME",
                (Proof("ferret/explainers/*.py", "^class (Gradient|IntegratedGradient|SHAP|LIME)Explainer", 4),),
            ),
            cell("Hugging Face text models", ("ferret/benchmark.py", r"self\.tokenizer = tokenizer")),
            Fact("-", everywhere(INTEGRAL, 0)),
            Fact(
                "erasure, rationales, correlation with leave-one-out",
                (
                    Proof("ferret/evaluators/faithfulness_measures.py", "^class (AOPC|TauLOO)", 3),
                    Proof("ferret/evaluators/plausibility_measures.py", "^class (AUPRC|Tokenf1|TokenIOU)", 3),
                ),
            ),
        ),
    ),
    Peer(
        "inseq",
        "0.7.1",
        "[Inseq](https://pypi.org/project/inseq/) 0.7",
        (
            cell("text generation", ("*/METADATA", "(?i)sequence generation")),
            Fact(
                "Captum's, and methods made for generation",
                (
                    Proof("inseq/attr/feat/gradient_attribution.py", "^    method_name = ", 10),
                    Proof("inseq/attr/feat/perturbation_attribution.py", 'method_name = "(reagent|value_zeroing)"', 2),
                ),
            ),
            cell(
                "decoders and encoder-decoders",
                (
                    "inseq/models/huggingface_model.py",
                    r"SUPPORTED_AUTOCLASSES = \[AutoModelForSeq2SeqLM, AutoModelForCausalLM\]",
                ),
            ),
            cell("as Captum", ("inseq/attr/feat/gradient_attribution.py", "return_convergence_delta")),
            NO_METRICS,
        ),
    ),
    Peer(
        "quantus",
        "0.6.0",
        "[Quantus](https://pypi.org/project/quantus/) 0.6",
        (
            cell("judging explanations", ("*/METADATA", "(?i)evaluation of .*explanations")),
            cell(
                "takes Captum's, tf-explain's, zennit's",
                ("quantus/functions/explanation_func.py", 'find_spec."captum"'),
                ("quantus/functions/explanation_func.py", 'find_spec."tf_explain"'),
                ("quantus/functions/explanation_func.py", 'find_spec."zennit"'),
            ),
            cell(
                "PyTorch and TensorFlow; images, time series, tables",
                ("*/METADATA", "image, time-series, tabular"),
                ("*/METADATA", "PyTorch, TensorFlow"),
            ),
            Fact("-", everywhere("convergence_delta", 0)),
            Fact(
                "more than thirty, in six groups",
                (
                    Proof("quantus/helpers/constants.py", r'^        "[^"]+": \w+,$', 31),
                    Proof("quantus/metrics/__init__.py", r"^from quantus\.metrics\.\w+ import \*", 6),
                ),
            ),
        ),
    ),
    Peer(
        "shap",
        "0.51.0",
        "[shap](https://shap.readthedocs.io) 0.51",
        (
            cell("any model at all", ("*/METADATA", "(?i)output of any machine learning model")),
            Fact(
                "Shapley values: exact for trees, by sampling or partition for others",
                (Proof("shap/explainers/*.py", "^class (Tree|Partition|Permutation|Kernel)Explainer", 4),),
            ),
            cell(
                "any function; pipelines of transformers",
                ("shap/explainers/_explainer.py", r"models\.TransformersPipeline"),
            ),
            cell("depends on the number of evaluations", ("shap/explainers/_partition.py", "max_evals")),
            Fact(
                "keep and remove curves, of its benchmark",
                (Proof("shap/benchmark/measures.py", r"^def (keep|remove)_(mask|impute|retrain|resample)\b", 8),),
            ),
        ),
    ),
    Peer(
        "lxt",
        "2.1",
        "[LXT](https://lxt.readthedocs.io) 2.1 (AttnLRP)",
        (
            cell("transformers in one backward pass", ("*README.md", "(?i)single backward pass")),
            cell("LRP with rules for attention", ("*README.md", "AttnLRP")),
            Fact(
                "Llama, Qwen, Gemma, GPT-2, BERT, ViT, by patching the module",
                (
                    Proof("lxt/efficient/models/__init__.py", "(llama|qwen2|qwen3|gemma3|gpt2|bert|vit)", 6),
                    Proof("lxt/efficient/core.py", "def monkey_patch"),
                ),
            ),
            NO_INTEGRAL,
            NO_METRICS,
        ),
    ),
    Peer(
        "interpreto",
        "0.5.2",
        "[interpreto](https://pypi.org/project/interpreto/) 0.5.2",
        (
            cell(
                "Hugging Face text models, classification and generation",
                ("interpreto/attributions/base.py", "ForSequenceClassification"),
                ("interpreto/attributions/base.py", "ForCausalLM"),
            ),
            Fact(
                "gradients, IG, LIME, KernelSHAP, Sobol, SmoothGrad, occlusion; concepts",
                (
                    Proof(
                        "interpreto/attributions/__init__.py",
                        '^    "(IntegratedGradients|KernelShap|Lime|Occlusion|Saliency|SmoothGrad|Sobol)"',
                        7,
                    ),
                    Proof("interpreto/concepts/base.py", "^class Concept"),
                ),
            ),
            cell(
                "Hugging Face text models",
                ("interpreto/attributions/base.py", "Model type not supported for Explainer"),
            ),
            cell(
                "a fixed number of steps",
                ("interpreto/attributions/methods/integrated_gradients.py", "n_perturbations: int = 10"),
            ),
            cell("insertion, deletion", ("interpreto/attributions/metrics/__init__.py", "import Deletion, Insertion")),
        ),
    ),
    Peer(
        "grad-cam",
        "1.5.7",
        "[pytorch-grad-cam](https://pypi.org/project/grad-cam/) 1.5.7",
        (
            cell("pictures", ("pytorch_grad_cam/utils/image.py", "def show_cam_on_image")),
            Fact(
                "more than twenty CAMs and their variants",
                (Proof("pytorch_grad_cam/*.py", r"^class \w*(CAM\w*|FEM|FullGrad|SESS)\b", 21),),
            ),
            cell(
                "CNNs and vision transformers, by naming a layer",
                ("pytorch_grad_cam/base_cam.py", "target_layers: List"),
                ("*README.md", r"ViT: model\.blocks"),
            ),
            NO_INTEGRAL,
            cell("ROAD", ("pytorch_grad_cam/metrics/road.py", "^class ROADCombined")),
        ),
    ),
    Peer(
        "layer-wise-integrated-gradients",
        "0.1.0",
        "[lig](https://pypi.org/project/layer-wise-integrated-gradients/) 0.1.0",
        (
            cell("the flow between tokens within a layer", ("*/METADATA", "within-layer flow analysis")),
            cell(
                "IG from the input of a module to its output's L2 norm: attention, MLP, block",
                ("*/METADATA", "L2-scalarized set-to-set IG"),
            ),
            cell(
                "encoders of BERT's kind and GPT-2; other blocks as a whole",
                ("lig/boundaries.py", "BERT-family"),
                ("lig/boundaries.py", "GPT-2"),
                ("lig/boundaries.py", "Whole-block forward only"),
            ),
            cell("a fixed number of steps", ("lig/api.py", "num_steps: int = 32")),
            NO_METRICS,
        ),
    ),
    Peer(
        "gim-explain",
        "0.1.4",
        "[gim-explain](https://pypi.org/project/gim-explain/) 0.1.4",
        (
            cell("transformers in one backward pass", ("gim/explain.py", r"\.backward\(")),
            cell(
                "gradients with GIM's changed backward rules (norms, softmax)",
                ("gim/context/norm.py", "(?i)detach"),
                ("gim/context/softmax.py", "(?i)temperature"),
            ),
            cell("PyTorch models, TransformerLens", ("*/METADATA", r"PyTorch nn\.Module or TransformerLens")),
            NO_INTEGRAL,
            NO_METRICS,
        ),
    ),
    Peer(
        "flashtrace",
        "0.1.1",
        "[flashtrace](https://pypi.org/project/flashtrace/) 0.1.1",
        (
            cell("reasoning language models: answers back to the prompt", ("*/METADATA", "(?i)reasoning")),
            cell(
                "attribution of spans of generated tokens, in hops; pages and JSON",
                ("flashtrace/cli.py", '"--hops"'),
                ("flashtrace/cli.py", '"--html"'),
                ("flashtrace/cli.py", r"result\.to_json"),
            ),
            cell("Hugging Face decoders", ("flashtrace/model_io.py", r"AutoModelForCausalLM\.from_pretrained")),
            NO_INTEGRAL,
            cell(
                "guided deletion (RISE, MAS)",
                ("flashtrace/improved.py", "MAS/RISE faithfulness via guided deletion"),
            ),
        ),
    ),
    Peer(
        "zennit",
        "0.5.1",
        "[zennit](https://zennit.readthedocs.io) 0.5",
        (
            cell("LRP in PyTorch", ("*/METADATA", r"\(LRP\)")),
            cell(
                "rules, composites, canonizers",
                ("zennit/rules.py", "^class Epsilon"),
                ("zennit/composites.py", "^class .*Composite"),
                ("zennit/canonizers.py", "^class .*Canonizer"),
            ),
            cell(
                "models made of `torch.nn` modules; CNNs first of all",
                ("*/METADATA", r"requires models to use Pytorch's `torch\.nn\.Module`"),
                ("*/METADATA", "VGG16"),
            ),
            NO_INTEGRAL,
            NO_METRICS,
        ),
    ),
)
