# `make book` and `make test` set up everything in .venv themselves.
# Another interpreter: make test PYTHON=python3.12

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
EVERYTHING := -c constraints.txt -e '.[book,test]'
PORT ?= 8000
SHELL := /bin/bash
# Settings of the machine that would change what is tested, and one with which each of the many
# processes here would compile torch again.
unexport PYTHONPATH PYTHONWARNINGS MPLBACKEND PYTHONDONTWRITEBYTECODE

# Each is a part of `make test` or of `make test-all`. All parts run, whatever became of the others.
TEST_PARTS := static code notebooks pages
WIDE_PARTS := wide

.PHONY: help book test test-all check notebooks student lock serve clean install dist links pdf epub test-base wheelhouse gpu-records do-gpu-records \
  $(addprefix do-,book test test-all) $(addprefix part-,$(TEST_PARTS) $(WIDE_PARTS) wide-code wide-pages)

help:
	@echo "make book       build the book"
	@echo "make test       prove the code, the notebooks and the pages (VGGLAB_SEED=... for a day's sample)"
	@echo "make test-all   run whole the sweeps of which make test runs samples"
	@echo "make check      ruff, mypy, the rules of imports, text and notebooks agree"
	@echo "make notebooks  run the chapters' text into notebooks (CHAPTER=01_vgg_design for one)"
	@echo "make student    write the chapters with blanks for solutions into student/ (DIR=... elsewhere)"
	@echo "make test-base  test the package without its extras, in .venv-base (OLDEST=1 on old versions)"
	@echo "make links      look up every page elsewhere that the book and the README point to"
	@echo "make dist       build what goes to PyPI (TAG=v0.1.0 must be its version)"
	@echo "make gpu-records  record on a GPU what is not yet; 9 minutes at a time, run it again to go on"
	@echo "make wheelhouse  collect what a class room without a network installs, in wheelhouse/"
	@echo "                (PLATFORM=win_amd64 PYTHON_VERSION=3.12 for other machines than this one)"
	@echo "make pdf        build the book and print it into _build/vgglab.pdf, with Chromium"
	@echo "make epub       write the book into _build/vgglab.epub"
	@echo "make serve      show the built book on http://127.0.0.1:$(PORT)/"
	@echo "make lock       write constraints.txt again (UPGRADE=1 for newer versions)"
	@echo "make clean      remove what was built, not $(VENV)"

# The time includes the set-up, so it is taken around a second make.
book test test-all:
	@start=$$(date +%s); $(MAKE) --no-print-directory do-$@ || exit 1; \
	echo "make $@: done in $$(($$(date +%s) - start)) s"

install: $(STAMP)

# uv takes a fifth of pip's time; pip finds packages where only its own settings name their place.
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "VGG Lab needs Python 3.11 or newer, and $(PYTHON) is not; try: make PYTHON=python3.11" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || \
	  { rm -rf $(VENV); echo "$(PYTHON) cannot make a virtual environment; on Debian, install python3-venv" >&2; exit 1; }
	@$(PIP) uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python $(EVERYTHING) || $(PIP) $(EVERYTHING)
	@touch $@

# From nothing each time (it takes seconds), so that no page outlives its source.
do-book: $(STAMP)
	@rm -rf _build
	$(BIN)/jupyter-book build book/ -W -n --keep-going --quiet
	@echo
	@echo "The book is built. Open _build/html/index.html, or run: make serve"

PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --dist worksteal

do-test: $(STAMP)
	@MAKE=$(MAKE) .ci/parts $(addprefix part-,$(TEST_PARTS))

do-test-all: $(STAMP)
	@MAKE=$(MAKE) VGGLAB_WIDE=1 .ci/parts $(addprefix part-,$(WIDE_PARTS))

# mypy and Sphinx use one processor each; the pages need no more than the stored notebooks.
part-static: $(STAMP)
	@$(MAKE) --no-print-directory -k -j2 check do-book

part-code: $(STAMP)
	$(PYTEST) -m 'not wide' --ignore=tests/browser

part-notebooks: $(STAMP)
	$(BIN)/python book/make_notebooks.py nbval

part-pages: $(STAMP)
	$(PYTEST) -rs -m 'browser and not wide' tests/browser

part-wide-code: $(STAMP)
	$(PYTEST) -m 'wide or sampled' --ignore=tests/browser

# Pages wait for the browser half of their time, so the code runs beside them.
part-wide: $(STAMP)
	@$(MAKE) --no-print-directory -k -j2 part-wide-code part-wide-pages

# Of the pages that `make test` or `make book` built.
part-wide-pages: $(STAMP)
	$(PYTEST) -rs -m 'browser and (wide or sampled)' tests/browser

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/python book/make_notebooks.py check

notebooks: $(STAMP)
	$(BIN)/python book/make_notebooks.py build $(CHAPTER)
	$(BIN)/python book/make_notebooks.py assignments

student: $(STAMP)
	$(BIN)/vgglab exercises $(or $(DIR),student)

lock: $(STAMP)
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --all-extras --no-annotate \
	  --custom-compile-command "make lock" $(if $(UPGRADE),--upgrade) --output-file constraints.txt pyproject.toml

test-base:
	$(PYTHON) tests/base.py $(if $(OLDEST),--resolution lowest-direct)

gpu-records: $(STAMP)
	@timeout --signal=INT 540 $(MAKE) --no-print-directory do-gpu-records || { test $$? = 124 && \
	  echo "make gpu-records: 9 minutes are over, and what is finished is recorded; run it again to go on"; }

do-gpu-records:
	@for name in $$($(BIN)/python -c \
	  'from vgglab.lab.experiments.catalogue import unrecorded; print(*unrecorded("book/results", "gpu"))'); \
	  do $(BIN)/vgglab experiment $$name --budget gpu --results book/results || exit 1; done
	@$(BIN)/vgglab bench --budget gpu --results book/results

# The book's pages, and the texts at the root.
links: $(STAMP)
	@status=0; \
	$(BIN)/jupyter-book build book/ --builder linkcheck --quiet --path-output _build/linkcheck || status=1; \
	$(BIN)/python -m sphinx -q -b linkcheck -C -D extensions=myst_parser -D root_doc=README \
	  -D include_patterns='*.md' -D suppress_warnings=myst,toc -D linkcheck_anchors=0 \
	  -D linkcheck_retries=2 -D linkcheck_report_timeouts_as_broken=0 . _build/linkcheck/root || status=1; \
	exit $$status

# On x86_64 Linux UV_TORCH_BACKEND=cpu leaves CUDA out, where PyTorch's index can be reached.
wheelhouse: $(STAMP)
	$(BIN)/python book/make_wheelhouse.py wheelhouse $(if $(PLATFORM),--platform $(PLATFORM)) \
	  $(if $(PYTHON_VERSION),--python-version $(PYTHON_VERSION))

dist: $(STAMP)
	@test -z "$(TAG)" || test "$(TAG)" = "v$$($(BIN)/python -c 'import vgglab; print(vgglab.__version__)')" || \
	  { echo "vgglab/__init__.py has another version than $(TAG)" >&2; exit 1; }
	rm -rf dist
	$(BIN)/uv build --quiet
	$(BIN)/uv tool run --quiet twine check --strict dist/*

pdf: do-book
	$(BIN)/python book/make_pdf.py _build/vgglab.pdf

epub: $(STAMP)
	@mkdir -p _build
	$(BIN)/python book/make_epub.py _build/vgglab.epub

serve:
	@echo "http://127.0.0.1:$(PORT)/   (stop with Ctrl-C)"
	@$(BIN)/python -m http.server $(PORT) --bind 127.0.0.1 --directory _build/html

clean:
	rm -rf _build dist build .pytest_cache .mypy_cache .ruff_cache
	find . -path ./$(VENV) -prune -o -name __pycache__ -type d -print0 | xargs -0 rm -rf
