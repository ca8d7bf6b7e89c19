# make run     set up what is missing, build, run config.example.toml
# make test    the same set-up, then all tests      ARGS="-k config -x" goes to pytest, which then is one run
# make checked   the tests of the kernels with all checks of a debug build      ARGS="-k names"
# make crash   the crash tests at every store, and deaths during the recovery
# make kill-soak   routers killed, upgraded and reshaped under calls    SECONDS=60
# make upgrades   live upgrades through commits, calls up    COMMITS="2956ea2 ."
# make simulate   random user agents, networks, deaths and reloads on a virtual clock    SECONDS=60 ARGS="--base 7"
# make reload-soak   tables swapped under calls that fail, what was freed cannot be touched    RELOADS=10000
# make fuzz    damaged datagrams against sanitized kernels    SECONDS=60 WHAT=all (parser, shard, configurations)
# make tsan    several shards under ThreadSanitizer    SECONDS=60
# make rfc     sentences of RFCs, what implements them and what tests them    ARGS="--rfc 3261-16", ARGS=--sums
# make map     packages of the kernels and who knows whom    ARGS=proxy for one of them
# make call    one message through the kernels: rule, what is sent, counters    MESSAGE=file CONFIG=...
# make same-choices   do a real Kamailio and fastsip choose the same, of the same list and table    ARGS="--calls 1000"
# make machines   the four transaction machines as Markdown    ARGS=--write puts them into ARCHITECTURE.md
# make one     builds one kernel alone, for a look at its errors    K=parser
# make wheel   the sdist and the wheel, tried in a fresh venv; into dist/
# make deb     the package for Debian 12, tried in a system that boots for it; needs root    ARGS=--keep keeps what it made
# make image   the container's image, tried read-only; needs root and podman    BASE=debian:12-slim, else one is made here
# make vendor  htmx, uPlot and axe, fetched anew by npm and compared    ARGS=--write takes them in, as packages/vendor.txt says
# make pins    what packages bring along, as new as pyproject.toml allows
# make build lint clean
# make bench   CPU per call, kernels, parsing: minutes on a quiet machine   ARGS="--rounds 1" goes to bench.load
# make bench-all   every other measurement, about half an hour; both say where their JSON went
#
# Everything is kept in .venv; the set-up runs again when pyproject.toml changes.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CONFIG ?= config.example.toml
ARGS ?=
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq

# Requirements as pyproject.toml lists them: $(call needs,test) adds an extra.
needs = $$($(BIN)/python -c 'import sys, tomllib; p = tomllib.load(open("pyproject.toml", "rb")); \
	r = p["build-system"]["requires"] + p["project"]["dependencies"]; \
	r += [x for e in sys.argv[1:] for x in p["project"]["optional-dependencies"][e]]; \
	print(*(x.replace(" ", "") for x in r))' $(1))

SECONDS ?= 60
COMMITS ?= 2956ea2 .
WHAT ?= all
RELOADS ?= 10000
# Most tests of whole processes wait more than they work: all tests are two runs at once, of which the second is shown
# when both are over.
TWO_HALVES = log=$$(mktemp); $(BIN)/python -m pytest tests/system tests/crash > $$log 2>&1 & half=$$!; worst=0; \
	$(BIN)/python -m pytest --ignore=tests/system --ignore=tests/crash || worst=$$?; \
	wait $$half || worst=$$?; cat $$log; rm -f $$log; exit $$worst
WORKERS ?= 2
SIDE_BY_SIDE = -n $(WORKERS) --dist loadfile
MESSAGE ?= -
K ?= -

.PHONY: run build-all test checked crash kill-soak upgrades simulate reload-soak fuzz tsan rfc map machines call same-choices one build lint bench bench-all wheel deb image pins vendor clean peers
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

run: build
	@exec $(BIN)/fastsip run $(CONFIG)

BUILD = -W ignore setup.py --quiet build_ext --inplace --parallel 2

build: $(VENV)/.ready
	@$(BIN)/python $(BUILD)

# The kernels of tests and benches, too.
build-all: $(VENV)/.ready
	@FASTSIP_TESTS=1 $(BIN)/python $(BUILD)

test: build-all $(VENV)/.ready-test peers
	@$(if $(ARGS),$(BIN)/python -m pytest $(ARGS),$(TWO_HALVES))

crash: build-all $(VENV)/.ready-test
	@FASTSIP_CRASH=all $(BIN)/python -m pytest tests/crash $(ARGS)

kill-soak: build-all $(VENV)/.ready-test
	@timeout --kill-after=10 $$(( $(SECONDS) + 180 )) $(BIN)/python -m tests.crash.kill_soak --seconds $(SECONDS) $(ARGS)

upgrades: build-all $(VENV)/.ready-test
	@$(BIN)/python -m tests.crash.upgrades $(COMMITS) $(ARGS)

simulate: build-all $(VENV)/.ready-test
	@$(BIN)/python -m tests.simulate.run --seconds $(SECONDS) $(ARGS)

# Built beside the tree, so that the kernels in use stay as they are: $(call beside,asan) in build/asan.  What the tree
# has no more goes there, too.
beside = mkdir -p build/$(1) && \
	(cd build/$(1) && find . -name '*.p*' -type f | while read -r file; do test -e "$(CURDIR)/$$file" || rm "$$file"; done) && \
	git ls-files -z setup.py pyproject.toml README.md LICENSE fastsip tests bench | xargs -0 cp -u --parents -t build/$(1) && \
	cd build/$(1) && \
	FASTSIP_TESTS=1 FASTSIP_BUILD=$(1) $(CURDIR)/$(BIN)/python $(BUILD)
SANITIZERS = $$(gcc -print-file-name=libasan.so):$$(gcc -print-file-name=libubsan.so)

# Of the unit tests those of kernels that need nothing but kernels: release code, documents and counts of instructions
# are another tree's.
KERNEL_TESTS := $(patsubst %,tests/unit/test_%.py,blocks checks commands dropped_slots edits golden_layout hashing hep kinds \
	lanes large_sets mapped measures mirror names net parser paces patterns positions resize resting ring rule_index rules scarcity \
	select shard slots store_space tables timers uri values)

checked: $(VENV)/.ready-test
	@$(call beside,debug)
	@cd build/debug && $(CURDIR)/$(BIN)/python -X faulthandler -m pytest -q -p no:cacheprovider $(SIDE_BY_SIDE) $(KERNEL_TESTS) \
		tests/protocol tests/fuzz tests/simulate $(ARGS)

reload-soak: $(VENV)/.ready-test
	@$(call beside,debug)
	@cd build/debug && MALLOC_PERTURB_=165 $(CURDIR)/$(BIN)/python -m tests.crash.reloads --switches $(RELOADS)
	@cd build/debug && FASTSIP_RELOADS=$(RELOADS) $(CURDIR)/$(BIN)/python -m pytest -q tests/system/test_reloads.py

fuzz: $(VENV)/.ready-test
	@$(call beside,asan)
	@cd build/asan && LD_PRELOAD="$(SANITIZERS)" ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=halt_on_error=1 \
		PYTHONMALLOC=malloc $(CURDIR)/$(BIN)/python -m tests.fuzz.run --seconds $(SECONDS) --what $(WHAT)

tsan: $(VENV)/.ready-test
	@$(call beside,tsan)
	@cd build/tsan && $(CURDIR)/$(BIN)/python -m tests.tsan.run --seconds $(SECONDS)

rfc: $(VENV)/.ready
	@$(BIN)/python -m tests.rfc_matrix $(ARGS)

map: build-all $(VENV)/.ready-test
	@$(BIN)/python -m tests.tools.map $(ARGS)

machines: build-all $(VENV)/.ready-test
	@$(BIN)/python -m tests.tools.machines $(ARGS)

call: build-all $(VENV)/.ready-test
	@$(BIN)/python -m tests.tools.call $(MESSAGE) --config $(CONFIG) $(ARGS)

same-choices: build-all $(VENV)/.ready-test peers
	@$(BIN)/python -m tests.tools.same_choices $(ARGS)

one: $(VENV)/.ready
	@FASTSIP_TESTS=1 FASTSIP_ONLY=$(K) $(BIN)/python $(BUILD)

lint: $(VENV)/.ready-lint
	@$(BIN)/ruff check .
	@PATH="$(CURDIR)/$(BIN):$$PATH" cython-lint fastsip tests/kernels bench/kernels
	@$(BIN)/mypy --follow-imports=silent fastsip

bench: build-all $(VENV)/.ready-bench
	@worst=0; $(call measure,load $(ARGS)) $(call measure,micro --quiet) $(call measure,parse_vs_sofia) exit $$worst

bench-all: build-all $(VENV)/.ready-bench
	@worst=0; $(call measure,consistency) $(call measure,instructions) $(call measure,order) $(call measure,memory) \
	$(call measure,shards) $(call measure,capacity) $(call measure,growth) $(call measure,scale) $(call measure,gil_hold) \
	$(call measure,rounds) $(call measure,recovery) $(call measure,restart) $(call measure,reload) $(call measure,scrape) $(call measure,page) \
	$(call measure,operators) $(call measure,probing) $(call measure,kills) $(call measure,persistence) $(call measure,collecting) \
	$(call measure,disk) $(call measure,hostile) \
	$(call measure,stranger) exit $$worst

# Each ends by itself, and leaves dist/ alone.
wheel: $(VENV)/.ready-package
	@PYTHON=$(CURDIR)/$(BIN)/python packages/wheel

deb:
	@packages/deb $(ARGS)

image:
	@BASE=$(BASE) packages/image $(ARGS)

pins: $(VENV)/.ready-package
	@$(BIN)/python packages/pins.py

vendor:
	@packages/vendor $(ARGS)

clean:
	@rm -rf $(VENV) build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis
	@find fastsip bench tests -depth \( -name '*.so' -o -name '__pycache__' \) -exec rm -rf {} + 2>/dev/null || true
	@rm -f $$(git ls-files --others --ignored --exclude-standard -- '*.c')

# The packages first, then fastsip itself as a link to this directory: with no kernel
# named, its own step compiles nothing, so that the kernels are compiled once, by `build`.
$(VENV)/.ready: pyproject.toml
	@$(call check_system)
	@echo "fastsip: setting up $(VENV)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(PIP) install $(call needs,api)
	@PYTHONWARNINGS=ignore FASTSIP_ONLY=- $(PIP) install --no-build-isolation --no-deps --editable .
	@touch $@

# Tests read from real databases, tell webhooks, send spans and press keys, and mypy reads the types of what does that.
$(VENV)/.ready-test $(VENV)/.ready-lint: ALSO := sql api otel tui

$(VENV)/.ready-%: $(VENV)/.ready
	@echo "fastsip: adding what '$*' needs"
	@$(PIP) install $(call needs,$* $(ALSO))
	@touch $@

# Programs that tests play against, as program:package; a test whose program is missing fails.
PEERS := sipp:sip-tester kamailio:kamailio faketime:faketime postgres:postgresql mariadbd:mariadb-server-core \
	my_print_defaults:mariadb-client-core prometheus:prometheus chromium:chromium
# Where Debian keeps some of them.
PEER_PLACES = $(subst $(empty) ,:,$(strip /usr/sbin $(wildcard /usr/lib/postgresql/*/bin)))

# No service begins to run by the installation: policy-rc.d says no as long as it takes, if nobody has one yet.  What a
# package only recommends is left out: with prometheus that would be services that look after the machine's disks.
define install_quietly
policy=/usr/sbin/policy-rc.d; \
test -e $$policy || { trap "rm -f $$policy" EXIT; trap "exit 1" INT TERM; printf "#!/bin/sh\nexit 101\n" > $$policy; chmod 755 $$policy; }; \
apt-get -qq update >/dev/null && env RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install "$$@" >/dev/null
endef

peers:
	@missing=; for peer in $(PEERS); do \
		PATH="$$PATH:$(PEER_PLACES)" command -v "$${peer%:*}" >/dev/null || missing="$$missing $${peer#*:}"; done; \
	test -n "$$missing" || exit 0; \
	root=; test "$$(id -u)" = 0 || root="sudo -n"; \
	if command -v apt-get >/dev/null && { test -z "$$root" || $$root true 2>/dev/null; }; then \
		echo "fastsip: installing$$missing for the tests"; \
		$$root sh -c '$(install_quietly)' peers $$missing && exit 0; \
	fi; \
	echo "fastsip: missing for the tests, some of which fail:$$missing; run: apt-get install$$missing" >&2

# One measurement; the worst exit status is kept: 1 = a figure has a remark, 2 = it could not be measured.
measure = echo "== bench.$(1)"; $(BIN)/python -m bench.$(1) || { s=$$?; test $$worst -ge $$s || worst=$$s; };

define check_system
missing=; \
command -v $(PYTHON) >/dev/null || { echo "fastsip: $(PYTHON) is missing: apt-get install python3" >&2; exit 1; }; \
$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	{ echo "fastsip: Python 3.11 or later is wanted: make PYTHON=python3.11" >&2; exit 1; }; \
$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || missing="$$missing python3-venv"; \
$(PYTHON) -c 'import os, sys, sysconfig; sys.exit(not os.path.exists(sysconfig.get_path("include") + "/Python.h"))' || \
	missing="$$missing python3-dev"; \
command -v gcc >/dev/null || missing="$$missing gcc libc6-dev"; \
test -z "$$missing" || { echo "fastsip: missing:$$missing; run: apt-get install$$missing" >&2; exit 1; }
endef
