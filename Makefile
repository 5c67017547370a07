# The course's commands; `make` lists them. When a command fails, make prints its exit status ("Error 77") and exits 2.

# For a lab or check-quiet, its own options: make lab-01 ARGS="--quick"
ARGS ?=
# Where records are read and scored: make plots RESULTS=docs/machines/some-machine FORMAT=slide
RESULTS ?= results
FORMAT ?= page
# More for cmake: make test CMAKE_ARGS=-DLAB_WERROR=ON
CMAKE_ARGS ?=
JOBS ?= $(shell nproc)

course = build/bin/course $(1) --results $(RESULTS) --labs labs --bin build/bin
draw = "$$(common/course/setup.sh --python)" plots/draw.py --results $(RESULTS) --format $(FORMAT)
configure = cmake --preset $(1) $$(command -v ninja >/dev/null || echo -G 'Unix Makefiles') $(CMAKE_ARGS)
# Configures when build/ is new or CMAKE_ARGS asks; talk goes to stderr, so that stdout is a lab's result alone.
build = @{ { test -z '$(CMAKE_ARGS)' && ls build/build.ninja build/Makefile; } >/dev/null 2>&1 || \
	$(call configure,release); } >&2; cmake --build build -j $(JOBS) $(1) >&2

.PHONY: menu setup all course run test plots scoreboard doctor claims check-quiet asan tsan fuzz clean
.DEFAULT_GOAL := menu

# Installs nothing: where something is missing it tells in plain words how to start.
menu:
	@if test -x build/bin/course; then $(call course,menu); \
	elif common/course/setup.sh --check; then $(MAKE) -s course && $(call course,menu); \
	else \
	  echo 'make run      set up (it says what it installs, and how), build, run every lab, draw the figures'; \
	  echo 'make lab-01   set up, build and run the first lab alone'; \
	fi

setup:
	@common/course/setup.sh --all

all: setup
	$(call build,)

course: setup
	$(call build,--target course)

run: setup
	$(call build,--target course all_labs)
	@$(call course,run) $(if $(ARGS),-- $(ARGS)); status=$$?; test $$status -lt 128 || exit $$status; \
	$(draw) || status=1; exit $$status

lab-%:
	@test -d labs/$*_* || { echo 'There is no lab $*; make lists those there are.' >&2; exit 2; }
	@common/course/setup.sh
	$(call build,--target $(notdir $(wildcard labs/$*_*)))
	@build/bin/$(notdir $(wildcard labs/$*_*)) $(ARGS)

test: all
	@ctest --test-dir build -j $(JOBS) --output-on-failure

plots: setup
	@$(draw)

scoreboard doctor: course
	@$(call course,$@)

claims: setup
	$(call build,--target course all_labs)
	@$(call course,claims) >docs/claims.md.new && mv docs/claims.md.new docs/claims.md

check-quiet: setup
	$(call build,--target check_quiet)
	@build/bin/check_quiet $(ARGS)

asan tsan: setup
	@$(call configure,$@) && cmake --build --preset $@ -j $(JOBS) && ctest --preset $@ -j $(JOBS)

# A bounded time a target; the tests of the other kind stay out.
fuzz:
	@common/course/setup.sh --clang
	@$(call configure,$@) && cmake --build --preset $@ -j $(JOBS) && ctest --preset $@ -j $(JOBS)

# Results are kept.
clean:
	rm -rf build
