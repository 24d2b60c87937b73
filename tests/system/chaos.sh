#!/usr/bin/env bash
# Nodes are killed (SIGKILL), stopped (SIGSTOP, SIGCONT) and partitioned at random in the midst of streams: every answer
# is the one that it would have been, and none stalls for long.
#
#   tests/system/chaos.sh [STREAMS [SEED [DOUBLES]]]      (60, 1 and 0 when not said)
#
# One scheduler and three nodes. Where root allows, each node lives in a network namespace of its own behind a veth
# pair, and a partition takes the pair's inner end down: both sides see silence, not a closed connection. The answers of
# a first, undisturbed pass are the golden ones: half of them greedy, half sampled. A disturbance begins when all three
# nodes are there; DOUBLES of 100 of them are two at the same time, and the third node is left alone.
. "$(dirname "$0")/lib.sh"
streams=${1:-60} doubles=${3:-0}
stall_ms=1500
endless="{\"logit_bias\":$(endless)}" # answers end at max_tokens
net=198.18.$((RANDOM % 250))
names=(node-1 node-2 node-3) spaces=yes

leave() {
    local code=$? name
    for name in "${names[@]}"; do kill -CONT "$(pid_of "$name" 2>/dev/null)" 2>/dev/null || true; done
    (exit $code) || true
    "$root/deploy/local" stop --state "$state" >/dev/null 2>&1 || true
    for name in "${names[@]}"; do drop_space "$name"; done
    (exit $code)
    end
}
trap leave EXIT

space_of() { echo "qiao-$port-${1#node-}"; }
host_of() { if [ $spaces = yes ]; then echo "$net.$((4 * ${1#node-} + 1))"; else echo 127.0.0.1; fi; }

drop_space() { # the pair by name: a socket that is still ending keeps the space alive
    ip link del "q$port-${1#node-}" 2>/dev/null || true
    ip netns del "$(space_of "$1")" 2>/dev/null || true
}
make_space() { # make_space NAME: a namespace whose only way out is to this host
    local i=${1#node-} space
    space=$(space_of "$1")
    ip netns add "$space" 2>/dev/null || return 1
    ip link add "q$port-$i" type veth peer name inner netns "$space" 2>/dev/null || return 1
    ip addr add "$net.$((4 * i + 1))/30" dev "q$port-$i" && ip link set "q$port-$i" up || return 1
    ip -n "$space" addr add "$net.$((4 * i + 2))/30" dev inner && ip -n "$space" link set inner up
}

start_node() { # start_node NAME
    local inside=()
    [ $spaces = yes ] && inside=(ip netns exec "$(space_of "$1")") # it becomes the node: one process
    "${inside[@]}" setsid "$bin/qiao-node" --model "$root/models/assistant/qiao-mini.gguf" --name "$1" \
        --threads 1 --kv-bytes 64M --scheduler "tcp://$(host_of "$1"):$((port + 100))" >>"$state/log/$1.log" 2>&1 </dev/null &
    echo $! >"$state/run/$1.pid"
}

ready_nodes() { "$bin/qiaoctl" --url "$url" --json nodes 2>/dev/null | grep -o '"state":"ready"' | wc -l; }
nodes_up() { [ "$(ready_nodes)" -eq "$1" ]; }
a_moment() { sleep "$(awk -v r=$RANDOM -v least="$1" -v most="$2" 'BEGIN { print least + r / 32767 * (most - least) }')"; }

disturb() { # disturb NAME HOW: and bring it back
    case $2 in
        kill) # its own exit is reaped here, so that nothing is said about it
            kill -KILL "$(pid_of "$1")"
            wait "$(pid_of "$1")" 2>/dev/null || true
            a_moment 0.1 1
            start_node "$1"
            ;;
        stop)
            kill -STOP "$(pid_of "$1")"
            a_moment 0.2 2.5
            kill -CONT "$(pid_of "$1")"
            ;;
        partition)
            ip -n "$(space_of "$1")" link set inner down
            a_moment 0.2 2.5
            ip -n "$(space_of "$1")" link set inner up
            ;;
    esac
}

begin() { # begin NAME flags…: a load in the background; $! is its process
    local name=$1
    shift
    "$bin/qiao-load" --url "$url" --concurrency 4 --prompt-tokens 8-64 --max-tokens 400-900 --extra "$endless" --retries 0 \
        --requests $((streams / 2)) --answers "$state/$name.answers" --json "$state/$name.json" "$@" \
        >"$state/$name.txt" 2>"$state/$name.error" &
}
pass() { # pass NAME: greedy and sampled streams; $loads are their processes
    begin "$1-greedy" --seed 1 --temperature 0
    loads=($!)
    begin "$1-sampled" --seed 2 --temperature 1
    loads+=($!)
}
under_way() { kill -0 "${loads[0]}" 2>/dev/null || kill -0 "${loads[1]}" 2>/dev/null; }
part() { # part LOAD OBJECT NAME: a figure of an object of the report, whole
    awk -v object="\"$2\"" -v name="\"$3\"" -F'[:,]' '$1 ~ object { inside = 1 } inside && $1 ~ name { print int($2); exit }' \
        "$state/$1.json"
}
equal() { # equal KIND: how many of the disturbed answers are the golden ones
    grep -cxFf "$state/golden-$1.answers" "$state/chaos-$1.answers" || true
}

free_port
url=http://127.0.0.1:$port
RANDOM=${2:-1} # from here on chance is the seed's
for name in "${names[@]}"; do make_space "$name" || { spaces=no && break; }; done
how=(kill stop)
if [ $spaces = yes ]; then how+=(partition); else echo "skipped: partitions; network namespaces need root here"; fi
setsid "$bin/qiao-scheduler" --listen "127.0.0.1:$port" --listen-nodes "tcp://$([ $spaces = yes ] && echo 0.0.0.0 || echo 127.0.0.1):$((port + 100))" \
    --redis-port $((port + 200)) >>"$state/log/scheduler-1.log" 2>&1 </dev/null &
echo $! >"$state/run/scheduler-1.pid"
for name in "${names[@]}"; do start_node "$name"; done
check "three nodes are there" eventually 60 nodes_up 3

pass golden
wait "${loads[@]}"
own_ms=$(part golden-sampled between_tokens_ms max) # what a machine with other work stalls by itself, that much is let pass
echo "undisturbed: gaps p99 $(part golden-sampled between_tokens_ms p99) ms, longest $own_ms ms"
if [ "$own_ms" -gt 100 ]; then stall_ms=$((stall_ms + 2 * own_ms)); fi # once when it falls silent, once when another goes on
pass chaos
declare -A done_to=()
while under_way; do
    a_moment 0.1 0.6
    check "three nodes are there again" eventually 60 nodes_up 3 >/dev/null
    first=$((RANDOM % 3 + 1)) one=${how[RANDOM % ${#how[@]}]} two=${how[RANDOM % ${#how[@]}]} chance=$((RANDOM % 100))
    done_to[$one]=$((${done_to[$one]:-0} + 1))
    if [ $chance -lt "$doubles" ]; then # a second one at the same time
        done_to[$two]=$((${done_to[$two]:-0} + 1))
        disturb "node-$((first % 3 + 1))" "$two" &
        second=$!
        disturb "node-$first" "$one"
        wait "$second"
    else
        disturb "node-$first" "$one"
    fi
done
wait "${loads[@]}" || true
for kind in greedy sampled; do
    echo "$kind: $(part chaos-$kind requests answered) answered, gaps p99 $(part chaos-$kind between_tokens_ms p99) ms," \
        "longest $(part chaos-$kind between_tokens_ms max) ms; first token p99 $(part chaos-$kind first_token_ms p99) ms," \
        "longest $(part chaos-$kind first_token_ms max) ms"
    grep -h ' failed ' "$state/chaos-$kind.answers" || true
done
for one in "${!done_to[@]}"; do echo "$one: ${done_to[$one]} times"; done
curl -s "$url/metrics" | grep -E '^qiao_(flight_retries|contradictions|node_down|loop_stalls)_total' || true
for kind in greedy sampled; do
    check "$kind: $(equal $kind) of $((streams / 2)) answers equal the undisturbed ones" test "$(equal $kind)" -eq $((streams / 2))
    check "$kind: no stall above $stall_ms ms" test "$(part chaos-$kind between_tokens_ms max)" -le $stall_ms
done
check "no node contradicted another" grep -q '^qiao_contradictions_total 0' <<<"$(curl -s "$url/metrics")"
