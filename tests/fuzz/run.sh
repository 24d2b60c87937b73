#!/usr/bin/env bash
# tests/fuzz/run.sh ROOM SECONDS: fuzz one room with libFuzzer under ASan and UBSan. The seeds in tests/fuzz/corpus/ROOM are
# only read; what is found on the way is kept in build/fuzz/corpus/ROOM, an input that fails in build/fuzz/failed.
set -euo pipefail
cd "$(dirname "$0")/../.."
room=${1:?usage: tests/fuzz/run.sh ROOM SECONDS}
seconds=${2:-120}
if [ ! -f "tests/fuzz/${room}_fuzz.c" ]; then
    echo "there is no fuzzer '$room'; there are:" $(ls tests/fuzz | sed -n 's/_fuzz\.c$//p') >&2
    exit 2
fi
command -v clang-14 >/dev/null || {
    echo "clang-14 is missing: apt-get install clang-14 libclang-rt-14-dev" >&2
    exit 1
}
mkdir -p "build/fuzz/corpus/$room" build/fuzz/failed
cmake -S . -B build/fuzz -G Ninja -DCMAKE_C_COMPILER=clang-14 -DCMAKE_BUILD_TYPE=Debug "-DCMAKE_C_FLAGS_DEBUG=-O1 -g" \
    -DQIAO_SANITIZE=address,undefined,fuzzer-no-link -DQIAO_WERROR=OFF -DQIAO_FUZZ=ON >build/fuzz/configure.log 2>&1 ||
    { cat build/fuzz/configure.log; exit 1; }
cmake --build build/fuzz --target "fuzz.$room"
seeds=()
if [ -d "tests/fuzz/corpus/$room" ]; then seeds=("tests/fuzz/corpus/$room"); fi
exec "build/fuzz/bin/fuzz.$room" -max_total_time="$seconds" -max_len=16384 -timeout=10 -rss_limit_mb=2048 \
    -artifact_prefix=build/fuzz/failed/ -print_final_stats=1 "build/fuzz/corpus/$room" "${seeds[@]}"
