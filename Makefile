# make demo   everything from nothing: environment, a small clip, training, result, numbers
# make test   format, lint, types and tests: minutes
# make help   the rest

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
LOWEST_VENV := .venv-lowest
LOWEST_STAMP := $(LOWEST_VENV)/.installed
APP_VENV := .venv-app
APP_STAMP := $(APP_VENV)/.installed
APP_TEST_STAMP := $(APP_VENV)/.installed-to-test
TORCH_VENV := .venv-pwcnet
TORCH_STAMP := $(TORCH_VENV)/.installed
S3_PACKAGES := .venv-s3
S3_STAMP := $(S3_PACKAGES)/.installed
GPU_VENV := .venv-gpu
GPU_STAMP := $(GPU_VENV)/.installed
PIP := PIP_DISABLE_PIP_VERSION_CHECK=1 $(BIN)/python -m pip install -q
TORCH_PIP := PIP_DISABLE_PIP_VERSION_CHECK=1 $(TORCH_VENV)/bin/python -m pip install -q
CODE := vidprior configs tools tests third_party docs setup.py
# One process for each processor: XLA uses several threads only in long stretches.
WORKERS ?= auto

.PHONY: help env app test-app test-app-short test-s3 browser demo test test-all test-lowest parity \
	parity-strict lint fast-test test-torch gpu-check gpu-check-short pwcnet-env vgg16-weights \
	torture torture-short clean

help:
	@echo "make demo           inpaint a small clip on this machine, with numbers"
	@echo "make test           lint, types and tests"
	@echo "make app            the page in a browser, in its own environment $(APP_VENV)"
	@echo "make test-app       the tests of the page, in a headless Chromium"
	@echo "make test-app-short the way through the page alone; a part of make test-all"
	@echo "make test-s3        a batch whose data lie in S3, a local server; a part of make test-all"
	@echo "make test-all       all tests, also long ones, with more examples"
	@echo "make test-lowest    a smoke test with the lowest versions that setup.py promises"
	@echo "make parity         compare with numbers of the published code, if they are available"
	@echo "make parity-strict  the part of it that must hold on any machine"
	@echo "make fast-test      the tests that take seconds"
	@echo "make env            the environment in $(VENV)"
	@echo "make pwcnet-env     the PyTorch environment of the flow estimator, in $(TORCH_VENV)"
	@echo "make vgg16-weights  download VGG16's weights and convert them to weights/vgg16.npz"
	@echo "make test-torch     the tests of the PyTorch tools"
	@echo "make gpu-check      compile the updates for GPUs that are not here, and check the programs"
	@echo "make torture        kills, malformed inputs and missing resources, with figures"

env: $(STAMP)

$(STAMP): setup.py constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "vidprior needs Python 3.11 or newer; set PYTHON=")'
	$(PYTHON) -m venv $(VENV)
	$(PIP) -e '.[test]' -c constraints.txt
	touch $@

# Gradio needs an older Pillow than the rest is tested with, so the page has its own environment.
$(APP_STAMP): setup.py constraints.txt constraints-app.txt
	$(PYTHON) -m venv $(APP_VENV)
	sed '/^pillow==/d' constraints.txt > $(APP_VENV)/constraints.txt
	PIP_DISABLE_PIP_VERSION_CHECK=1 $(APP_VENV)/bin/python -m pip install -q -e '.[app]' \
		-c $(APP_VENV)/constraints.txt -c constraints-app.txt
	touch $@

app: $(APP_STAMP)
	$(APP_VENV)/bin/python -m vidprior.main app

$(APP_TEST_STAMP): $(APP_STAMP)
	PIP_DISABLE_PIP_VERSION_CHECK=1 $(APP_VENV)/bin/python -m pip install -q playwright pytest \
		pytest-xdist hypothesis imageio -c $(APP_VENV)/constraints.txt -c constraints-app.txt
	touch $@

test-app: browser $(APP_TEST_STAMP)
	$(APP_VENV)/bin/python -m pytest tests/app -m ""

test-app-short: browser $(APP_TEST_STAMP)
	$(APP_VENV)/bin/python -m pytest tests/app -m short

# Nothing else needs one. Tests of the page are never left out without a word.
browser:
	@command -v chromium || command -v chromium-browser || command -v google-chrome || { \
		echo "no browser to test the page in: apt-get install chromium" >&2; exit 1; }

demo: $(STAMP)
	$(BIN)/python tools/make_demo_clip.py --output out/demo_clip
	rm -rf out/demo
	$(BIN)/python -m vidprior.main --config=configs/demo.py \
		--video=out/demo_clip/frames --mask=out/demo_clip/masks --workdir=out/demo
	$(BIN)/python -m vidprior.main --mode=evaluate --workdir=out/demo --truth=out/demo_clip/truth

lint: $(STAMP)
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/ruff check $(CODE)
	$(BIN)/mypy

test: lint
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal --ignore=tests/parity

test-all: $(STAMP)
	VIDPRIOR_TEST_EVERYTHING=1 $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal --ignore=tests/parity -m ""
	$(MAKE) test-app-short
	$(MAKE) test-s3

# The client of S3 needs an older python-dateutil than the rest is tested with, so it lies with the
# server's packages in a folder of its own, which comes before the environment's.
$(S3_STAMP): $(STAMP) constraints-s3.txt
	rm -rf $(S3_PACKAGES) && mkdir $(S3_PACKAGES)
	sed '/^python-dateutil==/d' constraints.txt > $(S3_PACKAGES)/constraints.txt
	$(PIP) --target $(S3_PACKAGES) s3fs moto flask flask-cors \
		-c $(S3_PACKAGES)/constraints.txt -c constraints-s3.txt
	touch $@

test-s3: $(S3_STAMP)
	PYTHONPATH=$(CURDIR)/$(S3_PACKAGES) $(BIN)/python -m pytest tests/end_to_end/test_s3.py -m ""

# Without the packages of the development environment, as for who installs vidprior alone.
test-lowest: $(LOWEST_STAMP)
	JAX_PLATFORMS=cpu $(LOWEST_VENV)/bin/python tests/smoke.py

$(LOWEST_STAMP): setup.py constraints-lowest.txt
	$(PYTHON) -m venv $(LOWEST_VENV)
	PIP_DISABLE_PIP_VERSION_CHECK=1 $(LOWEST_VENV)/bin/python -m pip install -q -e . -c constraints-lowest.txt
	touch $@

parity: $(STAMP) $(TORCH_STAMP)
	$(BIN)/python -m pytest tests/parity -v

# What no machine's rounding can change: masks, lists, single layers, and updates in float64.
parity-strict: $(STAMP) $(TORCH_STAMP)
	$(BIN)/python -m pytest -v $(addprefix tests/parity/test_,clip.py windows.py vgg.py warp.py float64.py)

fast-test: $(STAMP)
	$(BIN)/python -m pytest -n $(WORKERS) -m "not slow and not long" --ignore=tests/parity

pwcnet-env: $(TORCH_STAMP)

$(TORCH_STAMP): third_party/pwcnet_torch/requirements.txt third_party/pwcnet_torch/constraints.txt
	$(PYTHON) -m venv $(TORCH_VENV)
	$(TORCH_PIP) -r third_party/pwcnet_torch/requirements.txt -c third_party/pwcnet_torch/constraints.txt
	touch $@

vgg16-weights: $(TORCH_STAMP)
	$(TORCH_VENV)/bin/python tools/convert_vgg16.py --output weights/vgg16.npz

test-torch: $(TORCH_STAMP)
	$(TORCH_PIP) -r third_party/pwcnet_torch/requirements-test.txt -c third_party/pwcnet_torch/constraints.txt
	$(TORCH_VENV)/bin/python -m pytest third_party/pwcnet_torch/tests

# JAX's plugin compiles; CUDA's libraries, which only running needs, are left out.
GPU_CHECK := $(GPU_VENV)/bin/python tools/gpu_check.py --output=out/gpu_check.json
gpu-check: $(GPU_STAMP)
	$(GPU_CHECK) $(ARGS)

gpu-check-short: $(GPU_STAMP)
	$(GPU_CHECK) --short

$(GPU_STAMP): setup.py constraints.txt
	$(PYTHON) -m venv $(GPU_VENV)
	PIP_DISABLE_PIP_VERSION_CHECK=1 $(GPU_VENV)/bin/python -m pip install -q -e . -c constraints.txt
	PIP_DISABLE_PIP_VERSION_CHECK=1 $(GPU_VENV)/bin/python -m pip install -q --no-deps \
		jax-cuda12-plugin jax-cuda12-pjrt -c constraints.txt
	touch $@

# Half an hour; the short form, of CI, takes two minutes at most.
SEED ?= 1
torture: $(STAMP)
	$(BIN)/python tools/torture.py --output=out/torture --seed=$(SEED)

torture-short: $(STAMP)
	$(BIN)/python tools/torture.py --output=out/torture --seed=$(SEED) --short

clean:
	rm -rf out build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
