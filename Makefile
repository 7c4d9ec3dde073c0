# Thin wrappers around meson and the scripts in tools/. On a fresh machine:
#
#     make demo     installs what is missing, builds, plays the demonstration
#     make test     the same, then runs all tests
#     make install PREFIX=/usr/local      the program, libraries, headers, package
#
# As root they install what they need; otherwise through sudo, or they print
# the one command to run and end with 2. SETUP=no installs nothing.

BUILD ?= build
PREFIX ?= /usr/local
JOBS ?= $(shell nproc 2>/dev/null || echo 2)

.PHONY: all setup build install demo test nightly soak bench check format clean help

all: build

setup:
	@tools/setup test format

build:
	@tools/setup test
	@tools/build $(BUILD) -j $(JOBS)

# Built for release, without the bugs that tests plant. DESTDIR is put before PREFIX.
install:
	@tools/setup
	@[ ! -f build-release/build.ninja ] || meson configure build-release -Dprefix=$(abspath $(PREFIX))
	@tools/build build-release -j $(JOBS) --buildtype=release -Dprefix=$(abspath $(PREFIX))
	@meson install -C build-release --no-rebuild $(if $(DESTDIR),--destdir $(abspath $(DESTDIR)))

demo: build
	@tools/demo $(BUILD)

# ASan and UBSan, in a directory of its own: docs/testing.md.
test:
	@tools/setup test
	@tools/run-tests asan

# The long variants: a night on two cores. docs/testing.md lists the stages and their variables.
nightly:
	@tools/setup test format nightly
	@SIM_SEEDS=$${SIM_SEEDS:-1000} LIVE_KILLS=$${LIVE_KILLS:-20} LEASE_ROUNDS=$${LEASE_ROUNDS:-30} \
	    QUOTE_BITS=$${QUOTE_BITS:-9} FUZZ_SECONDS=$${FUZZ_SECONDS:-240} tools/run-tests --long asan tsan valgrind swarm soak writes fuzz

# Forty minutes (SOAK_MINUTES=...) of five members, and a million writes: docs/testing.md.
soak:
	@tools/setup test
	@tools/run-tests soak writes

# JSON=1 prints one object a row.
bench:
	@tools/setup bench
	@tools/build build-release -j $(JOBS) --buildtype=release
	@tools/bench build-release $(if $(JSON),--json)

# The checks of the house alone: layers, public functions, conformance, banned words, layout, types.
check:
	@tools/check-layers && tools/check-public && tools/check-conformance && tools/tidy && \
		tools/check-format && tools/check-types

format:
	@tools/setup format
	@tools/check-format --write

clean:
	rm -rf build build-asan build-tsan build-fuzz build-release

help:
	@sed -n 's/^# \{0,1\}//p' Makefile
