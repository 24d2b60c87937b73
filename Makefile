# The front door. Every verb installs what it misses (Debian 12), then builds.
MAKEFLAGS += --no-print-directory
PRESET ?= release
ROOM ?= gguf
SECONDS ?= 120

.PHONY: sim up build test check tsan fmt fuzz clean

up: ## a cluster on this machine: make up ARGS="--nodes 3 --model FILE"
	@deploy/install build run
	@$(MAKE) build
	@exec deploy/local --shop $(ARGS)

build: ## release programs into build/bin/
	@deploy/install build
	@cmake --preset release -G Ninja >build/configure.log 2>&1 || { cat build/configure.log; exit 1; }
	@cmake --build build/release
	@ln -sfn release/bin build/bin
build: | build/

test: build ## everything that must hold, in release and under ASan+UBSan
	@deploy/install run test
	@tests/run

check: | build/ ## the units under ASan+UBSan
	@deploy/install build
	@cmake --preset dev -G Ninja >build/configure.log 2>&1 || { cat build/configure.log; exit 1; }
	@cmake --build build/dev
	@ctest --preset dev

tsan: | build/ ## the units under TSan
	@deploy/install build
	@cmake --preset tsan -G Ninja >build/configure.log 2>&1 || { cat build/configure.log; exit 1; }
	@cmake --build build/tsan
	@ctest --preset tsan

sim: | build/ ## make sim SEED=1 [SEEDS=300] [NODES=…] [SCHEDULERS=1|4|16] [REQUESTS=…] [RATE=…]: the cluster in virtual time
	@deploy/install build
	@cmake --preset release -G Ninja >build/configure.log 2>&1 || { cat build/configure.log; exit 1; }
	@cmake --build build/release --target qiao-sim
	@build/release/tests/qiao-sim --seed $(or $(SEED),1) --seeds $(or $(SEEDS),1) --nodes $(or $(NODES),0) --schedulers $(or $(SCHEDULERS),0) \
		--requests $(or $(REQUESTS),0) --rate $(or $(RATE),0)

fuzz: ## make fuzz ROOM=gguf SECONDS=120
	@deploy/install build fuzz
	@tests/fuzz/run.sh $(ROOM) $(SECONDS)

fmt: ## format every C file
	@git ls-files '*.c' '*.h' | xargs clang-format-14 -i

clean:
	@rm -rf build

build/:
	@mkdir -p build
