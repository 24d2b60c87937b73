#!/usr/bin/env bash
# A rolling restart of the whole cluster under load loses nothing: 2 schedulers and 3 nodes, each ended by SIGTERM and
# started again while qiao-load asks both schedulers for streams and for whole answers.
#
#   tests/system/rolling.sh [ROUNDS [DRAIN_MS]]      (1 and 120000 when not said)
#
# A round restarts all five, then the nodes once more, which this time hand back at once what runs. No request fails,
# and the answers are to the bit those of a run in which nothing was restarted.
. "$(dirname "$0")/lib.sh"
rounds=${1:-1} drain_ms=${2:-120000}
export QIAO_DRAIN_MS=$drain_ms # two minutes are longer than any answer here; after less, cut streams must be resumed
node_drain_ms=10           # of nodes that were started here: shorter than most
endless="{\"logit_bias\":$(endless)}" # answers end at max_tokens, so that restarts meet them in the midst
declare -A started # by name: the process, where it is a child of ours

urls() { echo "http://127.0.0.1:$port,http://127.0.0.1:$((port + 1))"; }
sees() { # sees SCHEDULER NODES: it is ready, with so many nodes that take requests
    curl -sf -o /dev/null --max-time 20 "http://127.0.0.1:$((port + $1 - 1))/ready" &&
        [ "$("$bin/qiaoctl" --url "http://127.0.0.1:$((port + $1 - 1))" --json nodes | grep -o '"state":"ready"' | wc -l)" -eq "$2" ]
}
whole() { sees 1 3 && sees 2 3; }

restart() { # restart NAME: as an operator would
    local name=$1 pid words code=0 before=$SECONDS
    pid=$(pid_of "$name")
    readarray -d '' -t words <"/proc/$pid/cmdline"
    kill -TERM "$pid"
    if [ -n "${started[$name]:-}" ]; then
        wait "$pid" || code=$?
        check "$name ends with 0" test "$code" -eq 0
    else
        check "$name ends within its bound" eventually $((drain_ms / 1000 + 60)) gone "$pid"
    fi
    [[ $name == node-* ]] && words=(env "QIAO_DRAIN_MS=$node_drain_ms" "${words[@]}")
    setsid "${words[@]}" >>"$state/log/$name.log" 2>&1 </dev/null &
    started[$name]=$!
    echo $! >"$state/run/$name.pid"
    check "$name is back" eventually 60 whole
    echo "   ($((SECONDS - before)) s)"
}

begin() { # begin NAME flags…: a load in the background; $! is its process
    local name=$1
    shift
    "$bin/qiao-load" --url "$(urls)" --prompt-tokens 8-48 --max-tokens 60-250 --extra "$endless" \
        --answers "$state/$name.answers" --json "$state/$name.json" "$@" >"$state/$name.txt" 2>"$state/$name.error" &
}
retried() { # attempts on another node, as both schedulers count them since they were started
    local i
    for i in 0 1; do curl -s "http://127.0.0.1:$((port + i))/metrics"; done |
        awk '/^qiao_flight_retries_total/ { sum += $2 } END { print sum + 0 }'
}
figure() { grep -o "\"$2\": *[0-9]*" "$state/$1.json" | grep -o '[0-9]*$' | head -n 1 || echo 0; } # figure LOAD NAME
same() { # same RUN GOLDEN: every answer of the golden run is there, equal
    [ "$(sort -n "$state/$1.answers" | grep -cxFf "$state/$2.answers")" -eq "$(wc -l <"$state/$2.answers")" ]
}

cluster --nodes 3 --schedulers 2
begin streams --concurrency 4 --seed 1 --duration $((3000 * rounds))
loads=($!)
begin wholes --concurrency 2 --seed 2 --duration $((3000 * rounds)) --no-stream
loads+=($!)
for i in 1 2 3; do check "node-$i answers" eventually 60 is_busy node-$i; done
for _ in $(seq "$rounds"); do
    for name in scheduler-1 scheduler-2 node-1 node-2 node-3 node-1 node-2 node-3; do restart $name; done
done
ctl=("$bin/qiaoctl" --url "http://127.0.0.1:$port")
check "a drain waits until nothing of node-2 runs" "${ctl[@]}" drain node-2 --wait 60
check "the other scheduler knows of it" eventually 60 sees 2 2
check "and qiaoctl shows it" has 'node-2 (draining, 0 left)' "$("${ctl[@]}" status)"
check "node-2 comes back" "${ctl[@]}" undrain node-2
check "for both schedulers" eventually 60 whole
know_each_other() { [ "$("${ctl[@]}" --json schedulers | grep -o '"url"' | wc -l)" -eq 2 ]; }
check "each scheduler knows the other" eventually 60 know_each_other
setsid "$bin/qiao-scheduler" --listen 127.0.0.1:0 --listen-nodes tcp://127.0.0.1:0 --redis-port $((port + 200)) \
    >"$state/log/scheduler-3.log" 2>&1 </dev/null &
started[scheduler-3]=$!
echo $! >"$state/run/scheduler-3.pid"
third() { sed -n 's/.* info listen address=.* port=\([0-9]*\) .*/\1/p' "$state/log/scheduler-3.log"; }
joined() { [ "$("$bin/qiaoctl" --url "http://127.0.0.1:$(third)" --json nodes 2>/dev/null | grep -o '"state":"ready"' | wc -l)" -eq 3 ]; }
check "a scheduler that comes later gets the nodes too, which never heard its name" eventually 60 joined
kill -INT "${loads[@]}"
for name in streams wholes; do
    wait "${loads[0]}" || true
    loads=("${loads[@]:1}")
    cat "$state/$name.txt" "$state/$name.error"
    check "$name: $(figure $name answered) answered, none failed" test "$(figure $name failed)" -eq 0
    check "$name: many were answered" test "$(figure $name answered)" -ge 40
done
check "running answers were handed back: $(retried)" test "$(retried)" -gt 0
[ "$drain_ms" -lt 120000 ] || check "schedulers cut nothing" bash -c "! grep -h 'stop answers_cut=[^0]' $state/log/scheduler-*.log"

begin streams-golden --concurrency 4 --seed 1 --requests 40
wait $!
begin wholes-golden --concurrency 2 --seed 2 --requests 20 --no-stream
wait $!
check "40 streams equal those of an undisturbed run" same streams streams-golden
check "20 whole answers too" same wholes wholes-golden
for name in scheduler-1 scheduler-2 scheduler-3 node-1 node-2 node-3; do
    code=0
    kill -TERM "${started[$name]}"
    wait "${started[$name]}" || code=$?
    check "$name ends with 0" test "$code" -eq 0
done
