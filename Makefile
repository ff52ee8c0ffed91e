# SPDX-License-Identifier: BSD-2-Clause
# The front door; meson does the work. Set-up and building read no input and print to stderr:
# standard input and output belong to the guest that `make run` boots.
ifeq ($(origin CC),default)
CC = gcc
endif
BUILD = build
RUN = $(BUILD)/alcazar run
ARGS =
MESON = CC="$(CC)" meson setup $(BUILD) </dev/null >&2

.PHONY: run build test check bench install format clean

run: ; @tools/setup run && $(MAKE) -s build && exec $(RUN) $(ARGS)
build: ; @[ -e $(BUILD)/build.ninja ] || $(MESON); ninja --quiet -C $(BUILD) </dev/null >&2
test: ; @tools/setup test && tools/run-tests
check: ; @tools/setup test && tools/check
bench: ; @tools/setup all && $(MAKE) -s build && bench/run $(ARGS)
install: build ; meson install -C $(BUILD) --no-rebuild
format: ; tools/check-format --fix
clean: ; rm -rf build build-test build-check
