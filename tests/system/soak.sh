#!/usr/bin/env bash
# Random arrivals, cancels and preemptions for MINUTES (0.4 when not said): blocks come back and memory stays flat.
#
#   tests/system/soak.sh [MINUTES]
#
# Two nodes, each with a pool of 43 blocks of 32 tokens: it holds one context of 1024 tokens, so answers are preempted
# and the prefix cache is evicted all the time. All arrivals are open loops: qiao-load for streams, whole answers and
# clients that leave long prompts after 20 ms; curl for what it cannot say, up to 8 choices that may not end early, and
# clients that leave in the midst of them. About 0.4 of a core.
. "$(dirname "$0")/lib.sh"
seconds=$(awk -v minutes="${1:-0.4}" 'BEGIN { print int(minutes * 60) }')
margin=$((seconds < 300 ? 8192 : 2048)) # KiB of the last third above the first, which in a short run is the warm-up
watched=(scheduler-1 node-1 node-2)
wrong=0
bias=$(endless)

check() { # as in lib.sh, but one thing that is not so does not hide the others
    local what=$1
    shift
    if "$@"; then echo "ok: $what"; else echo "not so: $what" && wrong=$((wrong + 1)); fi
}

nodes() { "$bin/qiaoctl" --url "$url" --json nodes; }
field() { grep -o "\"$1\": *[0-9]*" | awk -F: '{ sum += $2 } END { print sum + 0 }'; } # field NAME: over all nodes
memory() { awk -v name="$2:" '$1 == name { print $2 }' "/proc/$(pid_of "$1")/status"; } # memory PROCESS FIELD: KiB
cpu() { awk '{ print $14 + $15 }' "/proc/$(pid_of "$1")/stat"; } # cpu PROCESS: ticks
metric() { curl -s "$url/metrics" | awk -v what="$1" 'index($1, what) { sum += $2 } END { print sum + 0 }'; }
elapsed_ms() { local begin=${EPOCHREALTIME/./}; "$@" >/dev/null; echo $(((${EPOCHREALTIME/./} - begin) / 1000)); } # elapsed_ms COMMAND…
times() { awk -v one="$1" -v factor="$2" 'BEGIN { print one * factor }'; }
golden() { "$bin/qiaoctl" --url "$url" chat --temperature 0 --max-tokens 60 "给我讲一个故事"; }
under_way() { ((SECONDS < seconds)) && kill -0 $$ 2>/dev/null; }
pause() { sleep "$(awk -v mean="$1" -v draw=$RANDOM 'BEGIN { print -mean * log((draw + 1) / 32769) }')"; }

idle() {
    local now name
    now=$(nodes)
    for name in in_flight running waiting kv_blocks_used; do [ "$(field $name <<<"$now")" -eq 0 ] || return 1; done
}

load() { # load NAME FLAGS…: figures to $state/NAME.json
    local name=$1
    shift
    "$bin/qiao-load" --url "$url" --duration "$seconds" --json "$state/$name.json" "$@" >"$state/$name.txt" || true
}

long() { # long KIND TOKENS SECONDS: a line "KIND curl's-exit-status HTTP-status …" to $state/long.txt
    local code=0 said choices=$((1 + RANDOM % 8)) stream=false
    ((RANDOM % 2)) && stream=true
    said=$(curl -s -o /dev/null -w '%{http_code} %{time_total}' --max-time "$3" "$url/v1/chat/completions" \
        -H 'Content-Type: application/json' -d "{\"n\":$choices,\"max_tokens\":$2,\"temperature\":1,\"stream\":$stream,
            \"logit_bias\":$bias,
            \"messages\":[{\"role\":\"user\",\"content\":\"给我讲一个故事 $((RANDOM % 50))\"}]}") || code=$?
    echo "$1 $code $said s, n=$choices at $SECONDS s" >>"$state/long.txt"
}

longs() { # longs KIND MEAN TOKENS SECONDS: MEAN seconds apart, the client leaves after SECONDS
    while under_way; do
        long "$1" "$3" "$4" &
        pause "$2"
    done
    wait
}

sample() { # a line of figures, the nodes' at one moment
    local name now
    now=$(nodes)
    printf '%d' "$SECONDS"
    for name in "${watched[@]}"; do printf ' %d %d' "$(memory "$name" VmRSS)" "$(memory "$name" RssAnon)"; done
    for name in kv_blocks_used kv_blocks_cached kv_blocks preemptions kv_evictions running waiting; do
        printf ' %d' "$(field $name <<<"$now")"
    done
    printf ' %d\n' "$(metric '_requests_total{route="chat",code="499"}')"
}

table() { # about twelve of the samples
    echo "     s | scheduler RSS anon | node-1 RSS anon | node-2 RSS anon | held cached free | preempted evicted | run wait | left"
    awk -v every=$((($(wc -l <"$state/samples") + 11) / 12)) 'every == 1 || NR % every == 1 {
        printf "%6d | %9d %8d | %7d %7d | %7d %7d | %4d %6d %4d | %9d %7d | %3d %4d | %4d\n", $1, $2, $3, $4, $5, $6, $7,
            $8, $9, $10 - $8 - $9, $11, $12, $13, $14, $15 }' "$state/samples"
}

mean() { # mean COLUMN first|last: over a third of the samples
    awk -v column="$1" -v part="$2" '{ value[NR] = $column } END { third = int(NR / 3)
        for (i = 1; i <= third; i++) sum += value[part == "first" ? i : NR - third + i]
        print int(sum / third) }' "$state/samples"
}

flat() { (($(mean "$1" last) <= $(mean "$1" first) + margin)); } # flat COLUMN
figure() { grep -o "\"$2\": *[0-9]*" "$state/$1.json" | grep -o '[0-9]*$' | head -n 1 || echo 0; } # figure LOAD NAME
long_count() { grep -c "$1" "$state/long.txt" || true; }                                             # long_count PATTERN

export QIAO_KV_BYTES=3300K
cluster --nodes 2
unset QIAO_KV_BYTES
before=$(golden)
# Arrivals are by the clock: on a slow machine they are fewer, or they would pile up.
own_ms=$(($(elapsed_ms golden) + $(elapsed_ms golden) + $(elapsed_ms golden)))
slow=$(awk -v ms="$own_ms" 'BEGIN { print (ms > 600) ? ms / 600 : 1 }')
fewer=$(awk -v slow="$slow" 'BEGIN { print 1 / slow }')
echo "three answers take $own_ms ms: arrivals are $slow times as far apart"
SECONDS=0
load streams --rate "$(times 1.5 "$fewer")" --prompt-tokens 8-400 --max-tokens 16-300 --seed 1 &
load wholes --rate "$(times 4 "$fewer")" --no-stream --prompt-tokens 8-200 --max-tokens 200-500 --temperature 2 --seed 2 &
load hasty --rate "$(times 0.7 "$fewer")" --timeout 0.02 --prompt-tokens 200-400 --max-tokens 300 --seed 3 &
longs stayed "$(times 1.5 "$slow")" 600 400 &
longs leaver "$(times 2 "$slow")" 900 0.2 &
interval=$((seconds < 360 ? 1 : seconds / 180))
while under_way; do
    sample >>"$state/samples"
    sleep "$interval"
done
wait
for name in "${watched[@]}"; do cpu "$name"; done >"$state/cpu"

crowd() { # on a fast machine answers have ended before others need their blocks: then many come at the same time
    [ "$(nodes | field preemptions)" -eq 0 ] || return 0
    for _ in 1 2 3 4 5 6; do long stayed 900 400 & done
    wait
    return 1
}
check "answers are preempted" eventually 3 crowd
check "the cluster comes to rest" eventually 60 idle
sample >>"$state/samples"
table
read -r _ _ _ _ _ _ _ held _ total preempted evicted _ _ left < <(tail -n 1 "$state/samples")
answered=$(($(figure streams answered) + $(figure wholes answered) + $(figure hasty answered) + $(long_count ' 0 200')))
echo "$seconds s: $answered requests answered, $left left by their clients, $preempted preemptions, $evicted evictions," \
    "$(nodes | field prefill_tokens) tokens prefilled, $(nodes | field prefix_hit_tokens) found in the cache"
column=2
for name in "${watched[@]}"; do
    echo "$name: mean RSS $(mean $column first) KiB in the first third and $(mean $column last) in the last," \
        "anonymous $(mean $((column + 1)) first) and $(mean $((column + 1)) last)," \
        "CPU $(($(sed -n $((column / 2))p "$state/cpu") * 100 / ($(getconf CLK_TCK) * seconds))) %"
    check "$name's memory is flat within $margin KiB" flat $column
    check "its anonymous memory too" flat $((column + 1))
    column=$((column + 2))
done

check "no block is held: all $total are cached or free" test "$held" -eq 0
for name in streams wholes; do
    check "$name: $(figure $name answered) answered, none failed" test "$(figure $name failed)" -eq 0
done
check "hasty clients: $(figure hasty failed) of $(figure hasty started) failed, all by leaving" \
    test "$(figure hasty timeout)" -eq "$(figure hasty failed)"
check "long answers: $(long_count '^stayed 0 200') came whole, none failed" \
    test "$(long_count '^stayed')" -eq "$(long_count '^stayed 0 200')"
check "of others $(long_count '^leaver 28') clients left in the midst, none failed" \
    test "$(long_count '^leaver')" -eq $(($(long_count '^leaver 28') + $(long_count '^leaver 0 200')))
check "no reader was called slow" test "$(metric slow_readers_total)" -eq 0
check "requests were cancelled: $left" test "$left" -gt 0
check "answers were preempted: $preempted" test "$preempted" -gt 0
check "the cache was evicted: $evicted" test "$evicted" -gt 0
check "the same question has the same answer" test "$(golden)" = "$before"
exit $((wrong > 0))
