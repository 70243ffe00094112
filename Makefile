# Every target sets up .venv first where that is still to be done. PYTHON=... picks another interpreter.
PYTHON ?= $(shell for python in python3.11 python3 python; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && command -v $$python && break; done)
PY := .venv/bin/python

# TensorFlow's start-up notes and pip's advice would bury what a target has to say.
export TF_CPP_MIN_LOG_LEVEL ?= 2
# As vizlib has it, also where a script imports TensorFlow before.
export TF_ENABLE_ONEDNN_OPTS ?= 1
export PIP_DISABLE_PIP_VERSION_CHECK ?= 1

.PHONY: help demo test core lint lab notebooks report runs versions docs gallery bench realism layers train clean
.PHONY: attribution shortcuts shortcut-samples photo-shortcuts photo-attribution-224 photo-realism photo-realism-128 photo-realism-224 photo-layers photo-layers-224

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: .venv/ready  ## the whole path on the embedded network: notebook, HTML page and PNG in output/
	$(PY) scripts/demo.py

# Two processes side by side, of one thread each: with a thread for each core in both, most of the time goes into waiting.
SERIAL := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 TF_NUM_INTRAOP_THREADS=1 TF_NUM_INTEROP_THREADS=1
CORE := saliency attribution optimize terms views network identity batches compiled statistics_image
CORE_torch := graph

test: lint  ## lint and every test, the headless execution of the notebooks among them; those of the core on JAX and PyTorch too
	$(SERIAL) $(PY) -m pytest -n 2 --dist loadscope --no-loadscope-reorder tests/test_notebooks.py tests --ignore tests/test_browser.py
	$(PY) -m pytest tests/test_browser.py
	$(MAKE) core BACKEND=jax
	$(MAKE) core BACKEND=torch

core: .venv/ready  ## the tests of the core on BACKEND, a backend of Keras other than TensorFlow
	$(SERIAL) KERAS_BACKEND=$(BACKEND) JAX_DISABLE_MOST_OPTIMIZATIONS=1 $(PY) -m pytest -n 2 --dist loadfile $(patsubst %,tests/test_%.py,$(CORE) $(CORE_$(BACKEND)))

lint: .venv/ready  ## ruff over the code and the notebooks, mypy over the package
	$(PY) -m ruff check .
	$(PY) -m mypy

lab: .venv/ready  ## JupyterLab on the notebooks
	$(PY) -m jupyterlab notebooks

notebooks: .venv/ready  ## execute the notebooks in place
	$(PY) scripts/notebooks.py

NETWORK ?= mini
SOURCE ?= partworld

report: .venv/ready  ## pages on what NETWORK has learned of the classes of SOURCE, a folder; in output/report
	$(PY) scripts/report.py $(NETWORK) $(SOURCE)

NOTEBOOK ?= $(wildcard notebooks/*_explorer.ipynb)
CLASSES ?= face house
LAYERS ?= block2_conv2 block3_conv3

runs: .venv/ready  ## execute NOTEBOOK once for each of CLASSES and LAYERS; pages and an overview in output/runs
	$(PY) scripts/runs.py $(NOTEBOOK) --classes $(CLASSES) --layers $(LAYERS)

TESTS ?= tests --ignore tests/test_browser.py

versions: .venv/ready  ## TESTS on Python 3.11 to 3.13, as far as they are here, each with the oldest and newest Keras
	$(SERIAL) $(PY) scripts/versions.py $(TESTS)

docs: .venv/ready  ## the site in output/docs/html: README, docs, notebooks, gallery, API; fails where anything is wrong
	$(PY) scripts/docs.py

gallery: .venv/ready  ## make the images of the gallery
	$(PY) scripts/gallery.py

bench: .venv/ready  ## the benchmarks
	$(PY) -m benchmarks

realism: .venv/ready  ## measure how realistic each method's images are
	$(PY) scripts/realism.py

SHARED ?= ../shared
# Products in bfloat16, summed in float32, where the processor has them (AMX): in half the time.
BF16 := TF_SET_ONEDNN_FPMATH_MODE=BF16

photo-realism: photo-realism-128 photo-realism-224  ## the same on VGG16 and photographs in SHARED (../shared)

photo-realism-128: .venv/ready
	$(BF16) $(PY) scripts/realism.py --photographs $(SHARED)

photo-realism-224: .venv/ready
	$(BF16) $(PY) scripts/realism.py --photographs $(SHARED) --size 224 --n 4 --classes beagle church garbage_truck golden_retriever golf_ball parachute

attribution: .venv/ready  ## measure how much the maps of each method of attribution tell
	$(PY) scripts/attribution.py

photo-attribution-224: .venv/ready
	$(BF16) $(PY) scripts/attribution.py --photographs $(SHARED) --size 224 --classes beagle church golden_retriever parachute

shortcuts: .venv/ready  ## plant shortcuts in small networks, and count how many are found
	$(PY) scripts/shortcuts.py

photo-shortcuts: .venv/ready
	$(PY) scripts/photo_shortcuts.py --photographs $(SHARED)

shortcut-samples: .venv/ready  ## count how many new images carry the marks that were planted
	$(PY) scripts/shortcut_samples.py

layers: .venv/ready  ## ask which layer is best for sampling and for reconstruction
	$(PY) scripts/layers.py

photo-layers: photo-layers-224  ## the same on VGG16 and photographs

photo-layers-224: .venv/ready
	$(BF16) $(PY) scripts/layers.py --photographs $(SHARED) --size 224 --classes beagle garbage_truck

train: .venv/ready  ## rebuild the embedded network and its judges in data/
	$(PY) scripts/train.py

clean:  ## remove what the other targets made, but .venv
	rm -rf output build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache
	find . -path ./.venv -prune -o \( -name __pycache__ -o -name .ipynb_checkpoints \) -prune -exec rm -rf {} +

.venv/ready: setup.cfg pyproject.toml
	@test -n "$(PYTHON)" || { echo "expected Python 3.11 or newer on the PATH; received none." >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(PY) -m pip install --quiet --editable '.[test,notebooks]'
	@touch $@
