# make setup | make run | make check | make test | make hostile | make notebooks | make outputs | make benchmarks | make readme | make site
PYTHON ?= python3
BIN := .venv/bin
BROWSER ?= /usr/bin/chromium
# real photographs and tables, where a copy lies beside the checkout; the embedded defaults need none
export XAI_REPRO_ASSETS ?= $(wildcard $(abspath ../shared/assets))

.PHONY: setup run check test hostile notebooks outputs benchmarks readme site clean

setup: .venv/.installed

.venv/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --progress-bar on -c constraints.txt -e '.[dev]'
	touch $@

run: setup            # the main job on four embedded photographs, beside the published numbers
	$(BIN)/xai-repro run glime_stability --compare --set n_images=4 --set 'sizes=[128]'

check: setup          # style and types of library, tests and notebooks
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/basedpyright --level error

test: setup           # every test, every notebook; make test ARGS="-k glime"
	$(BIN)/python -m pytest $(ARGS)

hostile: setup        # attempts at breaking it, those that take minutes too; counts at the end
	$(BIN)/python -m pytest tests/hostile --long $(ARGS)

notebooks: setup      # after editing a notebook: export the modules, clean the notebooks
	$(BIN)/nbdev_export
	$(BIN)/nbdev_clean

outputs: setup        # execute the notebooks where they lie, so that they show the present results: make outputs NB=papers/lfa_*.ipynb
	for notebook in nbs/$(or $(NB),papers/*.ipynb); do $(BIN)/python -c "import sys; from pathlib import Path; from xai_repro.workbook import runner; runner.refresh(Path(sys.argv[1]))" $$notebook || exit 1; done
	$(BIN)/nbdev_clean

benchmarks: setup     # measure this machine, idle: data/results/benchmarks and nbs/benchmarks.ipynb
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[benchmarks]'
	XAI_REPRO_PROFILE=standard $(BIN)/python -c "from pathlib import Path; from xai_repro.workbook import runner; runner.refresh(Path('nbs/benchmarks.ipynb'))"
	$(BIN)/nbdev_clean

readme: setup         # README.md from nbs/index.ipynb
	$(BIN)/python tools/readme.py

site: setup           # the notebooks as pages, in _site/_build/html; every link and picture is looked at, by a browser too where $(BROWSER) is one
	test -x _site/.venv/bin/jupyter-book || { $(PYTHON) -m venv _site/.venv && _site/.venv/bin/python -m pip install --quiet -c nbs/_constraints.txt jupyter-book; }
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[site]'
	$(BIN)/python tools/site.py stage _site/source
	_site/.venv/bin/jupyter-book build _site/source --path-output _site -W --keep-going --quiet
	$(BIN)/python tools/site.py check _site/_build/html $(BROWSER)

clean:
	rm -rf _site data/cache data/runs data/results/*/smoke .pytest_cache .hypothesis
