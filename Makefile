# Plain enough for GNU make 3.81, which is what a Mac brings. Works from any folder: make -C /path/to/seadragon run
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
SHELL := /bin/sh
unexport VIRTUAL_ENV

# A clone may lie anywhere: every path goes to the shell as one word, whatever is in it.
quoted = '$(subst ','\'',$(1))'
ROOT := $(shell cd "$$(dirname "$$(printf %s $(call quoted,$(MAKEFILE_LIST)) | sed 's/^ //')")" && pwd)
CACHE := $(shell home="$${HOME:-$$(eval echo "~$$(id -un 2>/dev/null)")}"; \
	case "$$home" in ("~"*) home=$(call quoted,$(ROOT)/data) ;; esac; \
	if [ -n "$$SEADRAGON_CACHE" ]; then printf '%s\n' "$$SEADRAGON_CACHE"; \
	elif [ "$$(uname)" = Darwin ]; then printf '%s\n' "$$home/Library/Caches/seadragon"; \
	else printf '%s\n' "$${XDG_CACHE_HOME:-$$home/.cache}/seadragon"; fi)
export UV := $(shell command -v uv || printf '%s\n' $(call quoted,$(CACHE)/uv/bin/uv))

# What is made here is nobody else's to change, whatever the umask lets them.
IN := umask go-w && cd $(call quoted,$(ROOT)) &&
PYTHON := $(IN) .venv/bin/python
OBTAIN := $(PYTHON) -m controller.obtain
PYTEST := $(PYTHON) -m pytest

OTHER_OLLAMAS := 0.24.0

.PHONY: help setup run check test proof bench fix native uv config developing real versions audit

help: ## show this
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1	\2/p' $(call quoted,$(ROOT)/Makefile)

setup: uv config ## install what running needs: Python packages, config/*.yaml, Ollama
	@$(call SYNC,--no-default-groups --inexact)
	@$(OBTAIN) ollama || echo 'seadragon: going on without Ollama; `seadragon doctor` tells how it stands.'

run: setup ## set up, then serve until Ctrl-C (ARGS="--port 9000" passes options on)
	@$(IN) exec .venv/bin/seadragon up $(ARGS)

check: developing ## formatting, lint, types, unit tests: under a minute
	@$(PYTHON) -m ruff format --check --quiet .
	@$(PYTHON) -m ruff check --quiet .
	@$(PYTHON) -m mypy --no-error-summary
	@$(PYTEST) -q tests/unit -m 'not proof' -n auto --dist worksteal

test: real check ## everything that must hold, against the real programs (which it builds, once)
	@$(PYTEST) -q tests/integration tests/acceptance -m 'not proof' -n auto --dist worksteal --durations=20 $(ARGS)

proof: real audit ## the long and the timed tests, other versions of Ollama, static analysis, known holes
	@$(PYTHON) -m bandit --quiet --recursive controller --configfile pyproject.toml --severity-level medium
	@$(PYTHON) -m tests.kit.branches
	@$(PYTEST) -q tests -m proof $(ARGS)
	@$(IN) SEADRAGON_THOROUGH=1 .venv/bin/python -m pytest -q tests/unit -m 'hypothesis and not proof' $(ARGS)
	@$(MAKE) -f $(call quoted,$(ROOT)/Makefile) versions

bench: real ## how fast, against nginx and against no gateway at all
	@$(OBTAIN) packages nginx wrk
	@$(PYTHON) -m tests.bench $(ARGS)

fix: developing ## put formatting and simple lint in order
	@$(PYTHON) -m ruff check --quiet --fix . ; $(PYTHON) -m ruff format --quiet .

# ---- steps of the above -------------------------------------------------------------------------------------------

# .python-versions names the Pythons for which everything we install is ready-made. The fastest of these that is here is
# used, or one is fetched. Where neither can be, whatever else is here will do: at worst a package has to be compiled for
# it. An environment that is there keeps its Python: something may be running in it.
SYNC = $(IN) { wish=; found=$$("$$UV" python find 2>/dev/null) || \
	{ echo 'seadragon: fetching a Python, once'; "$$UV" python install --quiet 2>/dev/null; } || wish='--python=>=3.11'; \
	[ -z "$$found" ] || [ -e .venv/bin/python ] || wish=$$("$$found" controller/obtain/fastest.py) || wish=; \
	"$$UV" sync --quiet --locked $(1) $${wish:+"$$wish"} || { $(NO_PYTHON); }; }
NO_PYTHON := echo 'seadragon: the Python packages could not be installed (see above). Seadragon needs Python 3.11 or newer:' \
	'https://www.python.org/downloads, or `brew install python@3.13`, or on Debian `apt-get install python3`.' >&2; exit 1

developing: uv
	@$(call SYNC)

real: developing
	@$(OBTAIN) own-ollama $(SEADRAGON_TEST_OLLAMA)
	@[ "$$(uname)" = Darwin ] || { $(OBTAIN) packages chromium systemd; }
	@$(PYTHON) -m tests.kit
	@$(PYTHON) -m tests.tunnel || echo 'seadragon: going on without; the tests that need it are skipped, and say so.'

# Whatever meets Ollama, with the others we know. (On a Mac none is built: there the tests meet the one that is there.)
versions: developing
	@[ "$$(uname)" = Darwin ] || for version in $(OTHER_OLLAMAS); do \
		export SEADRAGON_TEST_OLLAMA="$$version"; echo "seadragon: with Ollama $$version"; \
		$(OBTAIN) own-ollama "$$version" && $(PYTHON) -m tests.kit && \
			$(PYTEST) -q tests/integration tests/acceptance -m 'ollama and not proof' -n auto --dist worksteal $(ARGS) || exit 1; \
	done

audit: developing
	@$(PYTHON) -m tests.kit.audit

# The person's settings: copied once, never touched again.
config:
	@$(IN) for example in config/*.example.yaml; do \
		mine="$${example%.example.yaml}.yaml"; \
		[ -e "$$mine" ] || [ ! -e "$$example" ] || { cp "$$example" "$$mine" && echo "seadragon: made $$mine"; }; \
	done

# In a terminal under Rosetta everything would be an Intel program, and no Ollama started from it would find the GPU.
native:
	@[ "$$(uname -sm)" != 'Darwin x86_64' ] || [ "$$(sysctl -n hw.optional.arm64 2>/dev/null)" != 1 ] || { \
		echo 'seadragon: this terminal imitates an Intel Mac (Rosetta), where nothing finds the GPU. Run this instead:' \
			'arch -arm64 make $(MAKECMDGOALS)' >&2; exit 1; }

# uv installs Python packages in seconds. Its own venv is tried first; Debian may lack the module for that.
uv: native
	@[ -x "$$UV" ] || { \
		echo 'seadragon: installing uv into '$(call quoted,$(CACHE)/uv); mkdir -p $(call quoted,$(CACHE)); \
		{ python3 -m venv --clear $(call quoted,$(CACHE)/uv) && $(call quoted,$(CACHE)/uv/bin/python) -m pip install --quiet uv; } >$(call quoted,$(CACHE)/uv.log) 2>&1 || \
		python3 -m pip install --quiet --target $(call quoted,$(CACHE)/uv) uv >>$(call quoted,$(CACHE)/uv.log) 2>&1 || \
		{ [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && \
			{ apt-get update && apt-get install -y python3-venv; } >>$(call quoted,$(CACHE)/uv.log) 2>&1 && \
			python3 -m venv --clear $(call quoted,$(CACHE)/uv) && $(call quoted,$(CACHE)/uv/bin/python) -m pip install --quiet uv; } || \
		{ tail -5 $(call quoted,$(CACHE)/uv.log) >&2; \
			echo 'seadragon: uv could not be installed. On a Mac run xcode-select --install, which brings a Python; elsewhere' \
				'install Python 3.11 or newer with pip, or uv (https://docs.astral.sh/uv). Then run this again.' >&2; \
			exit 1; }; \
	}
