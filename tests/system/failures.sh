#!/usr/bin/env bash
# Nodes that die, Redis that goes away: what is in the air ends cleanly, what comes next is served.
. "$(dirname "$0")/lib.sh"
nodes_up() { [ "$("$bin/qiaoctl" --url "$url" nodes --json 2>/dev/null | grep -o '"uptime_seconds"' | wc -l)" -eq "$1" ]; }
ask() { "$bin/qiaoctl" --url "$url" chat --temperature 0 --max-tokens 60 "$1"; }
retries() { curl -s "$url/metrics" | awk '/^qiao_.*flight_retries_total/ {print int($2)}'; }
ready_has() { has "$1" "$(curl -s "$url/ready")"; }

cluster --nodes 2
golden=$(ask "给我讲一个故事")
check "the cluster answers" test -n "$golden"

for victim in node-1 node-2; do
    askers=()
    before=$(retries)
    for i in 1 2 3 4 5 6 7 8; do # each asks again and again, so that the end of the node meets answers in the air
        (for j in $(seq 40); do ask "给我讲一个故事"; done >"$state/answer-$victim-$i" 2>"$state/error-$victim-$i") &
        askers+=($!)
    done
    check "$victim has answers in the air" eventually 60 is_busy $victim
    command=$(tr '\0' '\n' <"/proc/$(pid_of $victim)/cmdline")
    slay $victim
    killed=$(date +%s%N)
    check "$victim is out within a second of its end" eventually 1 nodes_up 1
    echo "   ($(((($(date +%s%N) - killed)) / 1000000)) ms)"
    wait "${askers[@]}" || true # not for the node that was started below, the time before
    whole=$(cat "$state"/answer-"$victim"-* | grep -cxF -- "$golden" || true)
    check "320 answers are whole: $whole, of which $(($(retries) - before)) went on at the other node" test "$whole" -eq 320
    check "the next request is answered by the other node" test "$(ask "给我讲一个故事")" = "$golden"
    readarray -t words <<<"$command"
    launch $victim "${words[@]}"
    check "$victim is back" eventually 60 nodes_up 2
done

kill -STOP "$(pid_of node-1)"
check "a node that hangs is out" eventually 60 nodes_up 1
kill -CONT "$(pid_of node-1)"
check "and comes back when it wakes" eventually 60 nodes_up 2

slay redis
check "/ready says that Redis is away" eventually 60 ready_has '"redis": *"away"'
check "a request without session is served" test "$(ask "给我讲一个故事")" = "$golden"
status=$(curl -s -o "$state/body" -w '%{http_code}' "$url/v1/chat/completions" -H 'Content-Type: application/json' \
    -d '{"session":"s","messages":[{"role":"user","content":"hi"}],"max_tokens":4}')
check "a session request gets 503" test "$status" = 503
check "with the store's code" grep -q store_unavailable "$state/body"
launch redis redis-server --port $((port + 200)) --bind 127.0.0.1 --dir "$state/redis" --save ""
check "Redis is seen again" eventually 60 ready_has '"redis": *"up"'
check "sessions go on" "$bin/qiaoctl" --url "$url" chat --session s --max-tokens 4 hi
