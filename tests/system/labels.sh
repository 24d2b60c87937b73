#!/usr/bin/env bash
# Labels over real processes: two schedulers with a key each, two regions with labels of their own; checked by a client without the cluster.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/governed.sh"
free_port
url=http://127.0.0.1:$port other=http://127.0.0.1:$((port + 1))
redis-server --port 0 --unixsocket "$state/redis.sock" --save "" --dir "$state" --daemonize yes --pidfile "$state/redis.search.pid" >/dev/null
ctl() { "$bin/qiaoctl" --url "$url" "$@"; }
refused() { ! "$@" >/dev/null 2>&1; }

keygen legal labels-1 labels-2
cat "$state"/keys/labels-?.pub >"$state/labels.pub"
assistant='"features":{"assistant":{"allowed":true,"gated":false,"models":"any","adapters":"any","languages":"any"}}'
document base "" "{$assistant,\"filter\":{\"required\":false},\"privacy\":{\"residency\":\"any\"},\"audit\":{\"stops\":[]}}"
document cn base '{"labels":{"visible":{"zh-Hans":"人工智能生成","en":"AI-generated"},"place":"both","implicit":true,"waivable":true,
    "producer":"001191110000000000000E10001"}}'
document eu base '{"labels":{"place":"none","implicit":true,"provider":"Example Ltd","notice":{"en":"You are talking to an AI system."}}}'
sign legal base cn eu

scheduler() { # scheduler NUMBER [--label-key …]
    local number=$1
    shift
    launch "scheduler-$number" "$bin/qiao-scheduler" --listen "127.0.0.1:$((port + number - 1))" --listen-nodes "tcp://127.0.0.1:$((port + 99 + number))" \
        --redis-host "$state/redis.sock" --session-key "$state/keys/session" --policy "$state/policy" \
        --policy-keys "$state/keys/legal.pub" "$@"
}
scheduler 1
launch node-1 "$bin/qiao-node" --engine echo --name echo --scheduler "tcp://127.0.0.1:$((port + 100))"
check "ready without a key of labels" eventually 60 ready "$url"

# chat URL REGION LANGUAGE [MEMBERS [HEADER]]
chat() {
    curl -s --max-time 120 "$1/v1/chat/completions" -H "X-Qiao-Region: $2" -H "Accept-Language: $3" -H "X-Qiao-User: u1" \
        -H "${5:-X-Nothing: 1}" -d "{\"messages\":[{\"role\":\"user\",\"content\":\"你好 one two three four five\"}]${4:-}}"
}
check "what cannot be signed is denied" has '"code":"label_not_possible"' "$(chat "$url" cn zh-CN)"
kill -TERM "$(pid_of scheduler-1)"
check "the scheduler ends" eventually 60 gone "$(pid_of scheduler-1)"
scheduler 1 --label-key "$state/keys/labels-1.key" --label-keys "$state/labels.pub"
scheduler 2 --label-key "$state/keys/labels-2.key" --label-keys "$state/labels.pub"
check "both are ready, each with its key" eventually 60 ready "$url"
check "and the other" eventually 60 ready "$other"

chat "$url" cn zh-CN >"$state/chinese.json"
chat "$other" cn en ',"stream":true' >"$state/english.events"
chat "$url" eu zh-CN ',"n":2' >"$state/eu.json"
check "Chinese has its label in Chinese" grep -q '"content":"人工智能生成\\n\\n' "$state/chinese.json"
check "English in the same region has it in English" grep -q '"content":"AI-generated\\n\\n"' "$state/english.events"
check "the other region has a notice" grep -q '"content":"You are talking to an AI system.' "$state/eu.json"
check "and no label" refused grep -q '人工智能生成' "$state/eu.json"
verify() { ctl --keys "$state/labels.pub" label verify "$1"; }
for file in chinese.json english.events eu.json; do check "$file is proven without the cluster" verify "$state/$file"; done
check "by whom" has 'signed by labels-2' "$(verify "$state/english.events")"
check "for whom a name stands" has 'made by Example Ltd' "$(verify "$state/eu.json")"

sed 's/three/tree/' "$state/chinese.json" >"$state/changed.json"
check "a word that was changed is found" has 'the content is not the one' "$(verify "$state/changed.json" 2>&1 || true)"
sed 's/"content":"人工智能生成\\n\\n/"content":"/' "$state/chinese.json" >"$state/bare.json"
check "a label that was cut off is found" has 'the label around the content' "$(verify "$state/bare.json" 2>&1 || true)"
sed 's/E10001/E10002/' "$state/chinese.json" >"$state/forged.json"
check "a producer that was changed is found" has 'a field of the metadata' "$(verify "$state/forged.json" 2>&1 || true)"
head -n 6 "$state/english.events" >"$state/cut.events"
check "a stream that was cut off is labelled" grep -q 'AI-generated' "$state/cut.events"
check "and proves no content" has 'bound to no content' "$(verify "$state/cut.events" 2>&1 || true)"
ask_other() { # is what one scheduler made known to the other?
    python3 - "$state/chinese.json" <<'PY' | curl -s "$other/v1/labels/verify" -d @-
import json, sys
answer = json.load(open(sys.argv[1]))
print(json.dumps({"content": answer["choices"][0]["message"]["content"], "label": answer["label"], "AIGC": answer["AIGC"]}))
PY
}
check "one scheduler knows the other's labels" has '"valid":true,"fields":true,"key":"labels-1"' "$(ask_other)"

none="X-Qiao-Label: none"
check "no label is waived without an agreement" has '"code":"label_required"' "$(chat "$other" cn en "" "$none")"
echo "I shall label what I publish." >"$state/agreement"
check "an agreement is put on record" ctl --user u1 --days 180 label waive "$state/agreement"
chat "$other" cn en "" "$none" >"$state/waived.json"
check "then another scheduler waives the label" refused grep -q AI-generated "$state/waived.json"
check "and the metadata stays" verify "$state/waived.json"
check "it is taken off" ctl --user u1 label unwaive
check "and holds no more" has '"code":"label_required"' "$(chat "$other" cn en "" "$none")"
