#!/usr/bin/env bash
# The scheduler's own promises, with an echo node behind it: streams, cancels, limits, restarts, a clean end.
. "$(dirname "$0")/lib.sh"
free_port
url=http://127.0.0.1:$port

scheduler() {
    launch scheduler-1 "$bin/qiao-scheduler" --listen "127.0.0.1:$port" --listen-nodes "tcp://127.0.0.1:$((port + 100))" \
        --redis-port $((port + 200)) --drain-ms 8000 "$@"
}
ready() { curl -sf -o /dev/null --max-time 2 "$url/ready"; }
ask() { curl -sN --max-time 30 "$url/v1/chat/completions" -H 'Content-Type: application/json' -d "$1"; }
gauge() { curl -s "$url/metrics" | awk -v name="qiao_$1" '$1 == name {print $2}'; }
idle() { [ "$(gauge in_flight)" = 0 ] && curl -s "$url/admin/nodes" | grep -q '"running":0,"waiting":0'; }
gone() { ! kill -0 "$1" 2>/dev/null; }
words=$(printf '桥 bridge %.0s' $(seq 100))

scheduler
launch node-1 "$bin/qiao-node" --engine echo --name echo --scheduler "tcp://127.0.0.1:$((port + 100))" --echo-delay-ms 5
check "ready with a node and without Redis" eventually 60 ready

check "an answer" grep -q '"content":"你好 echo"' <<<"$(ask '{"messages":[{"role":"user","content":"你好 echo"}]}')"
stream=$(ask '{"stream":true,"messages":[{"role":"user","content":"你好"}]}')
check "a stream begins with its role" grep -q '"delta":{"role":"assistant"' <<<"$stream"
check "goes on in whole characters" grep -q '"content":"你"' <<<"$stream"
check "and ends" test "$(grep -c '^data: ' <<<"$stream") $(tail -n 1 <<<"$stream")" = "5 data: [DONE]"

for i in 1 2 3 4; do
    timeout 0.5 curl -sN "$url/v1/chat/completions" -d \
        "{\"stream\":$([ $((i % 2)) = 0 ] && echo true || echo false),\"messages\":[{\"role\":\"user\",\"content\":\"$words\"}]}" \
        >/dev/null || true
done
check "clients that leave free their places at once" eventually 1 idle
check "and are counted" grep -q 'route="chat",code="499"} 4' <<<"$(curl -s "$url/metrics")"

head -c 100000000 /dev/zero >"$state/big"
for header in 'Expect:' 'Expect: 100-continue' 'Transfer-Encoding: chunked'; do
    code=$(curl -s -o "$state/answer" -w '%{http_code}' -H "$header" --data-binary "@$state/big" "$url/v1/chat/completions")
    check "a body of 100 MB is refused ($header)" test "$code" = 413
    check "with the API's error" grep -q '"code":"request_too_large"' "$state/answer"
done
peak=$(awk '/VmHWM/ {print $2}' "/proc/$(pid_of scheduler-1)/status")
check "and was never held in memory ($peak kB at most)" test "$peak" -lt 65536

kill -9 "$(pid_of scheduler-1)"
scheduler
check "the node finds a scheduler that was killed and started again" eventually 60 ready

ask "{\"stream\":true,\"messages\":[{\"role\":\"user\",\"content\":\"$words\"}]}" >"$state/last" &
asker=$!
sleep 0.5
pid=$(pid_of scheduler-1)
kill -TERM "$pid"
sleep 0.2
check "after SIGTERM nobody new is taken" bash -c "! curl -s -o /dev/null --max-time 2 $url/health"
wait $asker
check "who was there is served to the end" grep -q 'data: \[DONE\]' "$state/last"
check "and then it ends" eventually 60 gone "$pid"
check "as it should" grep -q 'stop answers_cut=0' "$state/log/scheduler-1.log"

output=$("$bin/qiao-scheduler" --listen 0.0.0.0:0 2>&1) && exit 1
check "another address than loopback needs keys" grep -q '`keys` must name a file' <<<"$output"
