#!/usr/bin/env bash
# The scheduler's own promises, with an echo node behind it: streams, cancels, limits, restarts, a clean end.
. "$(dirname "$0")/lib.sh"
free_port
url=http://127.0.0.1:$port

scheduler() {
    launch scheduler-1 "$bin/qiao-scheduler" --listen "127.0.0.1:$port" --listen-nodes "tcp://127.0.0.1:$((port + 100))" \
        --redis-port $((port + 200)) --drain-ms 120000 "$@"
}
serves() { curl -sf -o /dev/null --max-time 10 "$url/ready"; } # though it has no Redis
ask() { curl -sN --max-time 120 "$url/v1/chat/completions" -H 'Content-Type: application/json' -d "$1"; }
gauge() { curl -s "$url/metrics" | awk -v name="qiao_$1" '$1 == name {print $2}'; }
in_flight() { [ "$(gauge in_flight)" = "$1" ]; }
idle() { in_flight 0 && has '"running":0,"waiting":0' "$(curl -s "$url/admin/nodes")"; }
words=$(printf '桥 bridge %.0s' $(seq 100))

scheduler
launch node-1 "$bin/qiao-node" --engine echo --name echo --scheduler "tcp://127.0.0.1:$((port + 100))" --echo-delay-ms 5
check "ready with a node and without Redis" eventually 60 serves

check "an answer" has '"content":"你好 echo"' "$(ask '{"messages":[{"role":"user","content":"你好 echo"}]}')"
stream=$(ask '{"stream":true,"messages":[{"role":"user","content":"你好"}]}')
check "a stream begins with its role" has '"delta":{"role":"assistant"' "$stream"
check "goes on in whole characters" has '"content":"你"' "$stream"
check "and ends" test "$(grep -c '^data: ' <<<"$stream") $(tail -n 1 <<<"$stream")" = "5 data: [DONE]"

clients=()
for i in 1 2 3 4; do # half a minute each, if they stayed
    curl -sN "$url/v1/chat/completions" -d \
        "{\"stream\":$([ $((i % 2)) = 0 ] && echo true || echo false),\"messages\":[{\"role\":\"user\",\"content\":\"$words $words $words $words\"}]}" \
        >/dev/null &
    clients+=($!)
done
check "four answers are under way" eventually 60 in_flight 4
kill -KILL "${clients[@]}"
wait "${clients[@]}" || true
check "clients that leave free their places at once" eventually 5 idle
check "and are counted" has 'route="chat",code="499"} 4' "$(curl -s "$url/metrics" | grep 499)"

head -c 100000000 /dev/zero >"$state/big"
for header in 'Expect:' 'Expect: 100-continue' 'Transfer-Encoding: chunked'; do
    code=$(curl -s -o "$state/answer" -w '%{http_code}' -H "$header" --data-binary "@$state/big" "$url/v1/chat/completions")
    check "a body of 100 MB is refused ($header)" test "$code" = 413
    check "with the API's error" grep -q '"code":"request_too_large"' "$state/answer"
done
peak=$(awk '/VmHWM/ {print $2}' "/proc/$(pid_of scheduler-1)/status")
check "and was never held in memory ($peak kB at most)" test "$peak" -lt 65536

slay scheduler-1
scheduler
check "the node finds a scheduler that was killed and started again" eventually 60 serves

ask "{\"stream\":true,\"messages\":[{\"role\":\"user\",\"content\":\"$words\"}]}" >"$state/last" &
asker=$!
check "an answer is under way" eventually 60 grep -q '"content":"' "$state/last"
pid=$(pid_of scheduler-1)
kill -TERM "$pid"
refuses() { ! curl -s -o /dev/null --max-time 10 "$url/health"; }
check "after SIGTERM nobody new is taken" eventually 60 refuses
wait $asker
check "who was there is served to the end" grep -q 'data: \[DONE\]' "$state/last"
check "and then it ends" eventually 60 gone "$pid"
check "as it should" grep -q 'stop answers_cut=0' "$state/log/scheduler-1.log"

output=$("$bin/qiao-scheduler" --listen 0.0.0.0:0 2>&1) && exit 1
check "another address than loopback needs keys" has '`keys` must name a file' "$output"
