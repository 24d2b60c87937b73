#!/usr/bin/env bash
# The program qiao-node by itself: what it says of bad settings and files, that it starts, forbids cores, and ends
# well on a signal. $1 is the folder of the programs.
set -euo pipefail
node=${1:-build/bin}/qiao-node
run=("$node") # words that end up as it
state=$(mktemp -d /tmp/qiao-node-XXXXXX)
trap 'kill "$(cat "$state/pid" 2>/dev/null)" 2>/dev/null || true; rm -rf "$state"' EXIT

fail() { echo "not so: $*" >&2; cat "$state"/* >&2 2>/dev/null || true; exit 1; }

refuses() { # refuses WORDS flags…: it ends with 1 and one line that says WORDS
    local words=$1 code=0
    shift
    "${run[@]}" "$@" >"$state/out" 2>&1 || code=$?
    [ "$code" = 1 ] || fail "exit code $code for $*"
    grep -q -- "$words" "$state/out" || fail "no word of '$words' for $*"
    echo "ok: refuses $*"
}

ends_on() { # ends_on SIGNAL flags…: it gets ready, and ends with 0
    local signal=$1 code=0
    shift
    "${run[@]}" --scheduler "ipc://$state/nobody" "$@" 2>"$state/log" &
    echo $! >"$state/pid"
    for _ in $(seq 1200); do
        grep -q node_ready "$state/log" && break
        sleep 0.05
    done
    grep -q node_ready "$state/log" || fail "not ready: $*"
    grep -Eq '^Max core file size +0 +0 ' "/proc/$(cat "$state/pid")/limits" || fail "cores are allowed"
    kill -"$signal" "$(cat "$state/pid")"
    wait "$(cat "$state/pid")" || code=$?
    [ "$code" = 0 ] || fail "exit code $code after SIG$signal"
    grep -q node_stopped "$state/log" || fail "no node_stopped line"
    echo "ok: ends on SIG$signal $*"
}

refuses "name a GGUF with --model"
refuses "$state/none.gguf" --model "$state/none.gguf"
echo "this is no model" >"$state/text.gguf"
refuses "gguf" --model "$state/text.gguf"
refuses "echo" --engine magic
refuses "sequences" --engine echo --sequences 100 --batch-tokens 10
refuses "float_gemm" --engine echo --float-gemm fast
refuses "log_level" --engine echo --log-level shout
refuses "not expected" --engine echo stray
refuses "kv_bytes" --engine echo --kv-bytes 16
refuses "nowhere" --engine echo --scheduler "nowhere://x"
refuses "swap" --engine echo --swap never
ends_on TERM --engine echo
ends_on INT --engine echo

# Memory is locked where that is allowed; where it is not, the setting says what happens. AddressSanitizer locks nothing.
if ! grep -q __asan_init "$node"; then
    run=(prlimit --memlock=16384:16384)
    [ "$(id -u)" != 0 ] || run+=(setpriv --bounding-set -ipc_lock --inh-caps -ipc_lock)
    run+=("$node")
    refuses "memory cannot be locked beyond 16384 bytes" --engine echo --swap lock
    ends_on TERM --engine echo --swap warn
    grep -Eq 'memory_(not_locked|may_swap)' "$state/log" || fail "nothing says that memory is not locked"
    run=("$node")
    if prlimit --memlock=unlimited:unlimited true 2>/dev/null || grep -q '^CapEff:.*[4-7c-f]...$' /proc/self/status; then # CAP_IPC_LOCK
        ends_on TERM --engine echo --swap lock
        grep -q memory_locked "$state/log" || fail "memory is not locked"
    fi
fi
for model in models/assistant/*.gguf; do
    [ -e "$model" ] || continue
    head -c 5000 "$model" >"$state/cut.gguf"
    refuses "gguf" --model "$state/cut.gguf"
    QIAO_CPU=nonsense refuses "scalar" --model "$model"
    ends_on TERM --model "$model" --threads 2
    QIAO_CPU=scalar ends_on TERM --model "$model" --threads 1
done
