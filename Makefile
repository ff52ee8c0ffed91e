# SPDX-License-Identifier: BSD-2-Clause
# The front door; meson does the work. Set-up and building read no input and print to stderr:
# standard input and output belong to the guest that `make run` boots.
ifeq ($(origin CC),default)
CC = gcc
endif
BUILD = build
ARGS =

.PHONY: run setup setup-test build test check bench install format clean
.NOTPARALLEL:

run: build ; @exec $(BUILD)/alcazar run $(ARGS)
setup: ; @tools/setup run
setup-test: ; @tools/setup test
build: setup ; @CC="$(CC)" tools/build $(BUILD)
test: setup-test ; @tools/run-tests
check: setup-test ; @tools/check
bench: setup-test build ; @bench/run $(ARGS) && bench/io && bench/kernels
install: build ; @meson install -C $(BUILD) --no-rebuild
format: ; @tools/check-format --fix
clean: ; rm -rf build build-test build-check
