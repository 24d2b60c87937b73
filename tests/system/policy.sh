#!/usr/bin/env bash
# Policy documents over real processes: made, signed, checked, changed, tampered with, over; two regions, each with its own node, languages, rules.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/governed.sh"
free_port
url=http://127.0.0.1:$port
ctl() { "$bin/qiaoctl" --url "$url" "$@"; }

open='{"allowed":true,"gated":false,"models":"any","adapters":"any","languages":'
plain='"labels":{"place":"none","implicit":false},"filter":{"required":false},"audit":{"stops":[]}'

keygen legal other
check "a secret key is for its owner alone" test "$(stat -c %a "$state/keys/legal.key")" = 600
refused() { ! "$@" >/dev/null 2>&1; }
check "and is never written over" refused ctl --out "$state/keys" policy keygen legal
document base "" "{$plain}"
document aa base "{\"features\":{\"assistant\":$open[\"zh-Hans\",\"en\"]}}}"
document bb base "{\"features\":{\"assistant\":$open\"any\"}},\"limits\":{\"answer_tokens\":3}}"
sign legal base aa bb

scheduler() {
    launch scheduler-1 "$bin/qiao-scheduler" --listen "127.0.0.1:$port" --listen-nodes "tcp://127.0.0.1:$((port + 100))" \
        --redis-port $((port + 200)) --policy "$state/policy" --policy-keys "$state/keys/legal.pub"
}
scheduler
for region in aa bb; do
    launch "node-$region" "$bin/qiao-node" --engine echo --name "echo-$region" --region $region \
        --scheduler "tcp://127.0.0.1:$((port + 100))"
done
two_nodes() { has '"nodes":2,"models":\["[^]]*"' "$(curl -s "$url/ready")"; }
check "ready, with a node in each region" eventually 60 two_nodes
check "the log says what it began with" grep -q 'policy_taken digest=' "$state/log/scheduler-1.log"

# chat REGION LANGUAGE: the answer, and its status on the last line
chat() {
    curl -s --max-time 120 -w '\n%{http_code}' "$url/v1/chat/completions" -H "X-Qiao-Region: $1" -H "Accept-Language: $2" \
        -d '{"messages":[{"role":"user","content":"你好 one two three four five"}]}'
}
code() { chat "$@" | tail -n 1; }

check "Chinese in one region, English in the other" test "$(code aa zh-CN) $(code bb en) $(code bb zh-CN) $(code aa en)" = "200 200 200 200"
check "each region has its own languages" test "$(code aa fr) $(code bb fr)" = "403 200"
check "and its own limits" has '"finish_reason":"length"' "$(chat bb zh-CN)"
check "which are not the other's" has '"finish_reason":"stop"' "$(chat aa zh-CN)"
check "a region without a policy is denied" has '"code":"region_not_approved"' "$(chat cc en)"
for _ in $(seq 20); do code aa en >/dev/null; done
kill -TERM "$(pid_of node-aa)"
one_node() { has '"nodes":1,' "$(curl -s "$url/ready")"; }
check "one region's node leaves" eventually 60 one_node
check "and the other region's node does not see its requests" test "$(code aa en) $(code bb en)" = "503 200"

check "what is in force can be seen" has 'aa.json' "$(ctl policy show)"
check "and who signed it" has 'legal' "$(ctl policy show)"
check "each rule names its document" has '/features/assistant/gated = false (bb)' "$(ctl --region bb policy explain)"
for file in base cn eu; do check "the example '$file' says nothing wrong" ctl policy check "$root/deploy/policy/$file.json"; done
digest() { curl -s "$url/admin/policy" | python3 -c 'import json,sys; print(json.load(sys.stdin)["digest"])'; }
failure() { curl -s "$url/admin/policy" | python3 -c 'import json,sys; print(json.load(sys.stdin)["failure"])'; }
before=$(digest)

# Changed without a signature: nothing changes but what operators see.
document bb base "{}" 2
tampered() { [[ $(failure) == *"bb.json: the signature of 'legal' is not one of these bytes"* ]]; }
check "a document that was changed is refused by its name" eventually 60 tampered
check "and the rules before stay in force" test "$(code bb fr) $(digest)" = "200 $before"
check "which the log says" grep -q policy_refused "$state/log/scheduler-1.log"
sign other bb
check "another's signature does not help" refused ctl policy reload
sign legal bb
ctl policy reload >/dev/null
check "its own does" test "$(failure) $(code bb fr)" = "None 403"
document bb base "{\"features\":{\"assistant\":$open\"any\"}}}"
sign legal bb
check "an older edition does not come back" has 'serial' "$(ctl policy reload 2>&1)"

# One that ends while the scheduler runs; SIGHUP reads it.
allowed() { [ "$(code bb en)" = 200 ]; }
known() { has "\"serial\":$1[,}]" "$(curl -s "$url/admin/policy")"; }
over() { has '"code":"policy_expired"' "$(chat bb en)"; }
serial=2
for seconds in 4 16 64 256; do # a machine that is slow reads it when it is over already
    serial=$((serial + 1))
    document bb base "{\"features\":{\"assistant\":$open\"any\"}}}" $serial "$(date -u -d "+$seconds seconds" +%Y-%m-%dT%H:%M:%SZ)"
    sign legal bb
    kill -HUP "$(pid_of scheduler-1)"
    read=no
    eventually 60 known $serial
    ! allowed || { read=yes && break; }
done
check "SIGHUP reads the folder, and the document holds" test $read = yes
check "a document that is over denies" eventually $((seconds + 60)) over

kill -TERM "$(pid_of scheduler-1)"
check "it ends" eventually 60 gone "$(pid_of scheduler-1)"
echo '{' >"$state/policy/aa.json"
output=$(timeout 120 "$bin/qiao-scheduler" --listen 127.0.0.1:0 --listen-nodes tcp://127.0.0.1:0 --policy "$state/policy" \
    --policy-keys "$state/keys/legal.pub" 2>&1) && exit 1
check "a scheduler does not start on a folder that is wrong" has 'aa.json: not valid JSON' "$output"
output=$("$bin/qiao-scheduler" --listen 0.0.0.0:0 --keys "$state/keys/none" 2>&1) && exit 1
check "another address than loopback needs a policy" has '`policy` must name a folder' "$output"

# A whole governed cluster at one word, by the example's documents: rules, gate, label, filter.
"$root/deploy/local" stop --state "$state" >/dev/null
cluster --nodes 1 --region cn --producer 001191110000000000000E10001
check "a demo's cluster is governed, and serves its region" has '"code":"region_required"' "$(curl -s "$url/v1/chat/completions" -d '{}')"
answer=$(chat cn zh-CN)
check "with its label" has '人工智能生成' "$answer"
check "and its metadata" has '"ContentProducer":"001191110000000000000E10001"' "$answer"
check "what its terms name is refused" has '抱歉' "$(curl -s "$url/v1/chat/completions" -H 'X-Qiao-Region: cn' -H 'Accept-Language: zh-CN' \
    -d '{"messages":[{"role":"user","content":"z-z-q-x-v"}]}')"
