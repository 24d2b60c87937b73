#!/usr/bin/env bash
# The grounded assistant with the bundled model and the demo shop: what the openai client is told, that no history is read without a
# consent, that an answer outlives its node, and that a consent withdrawn at one scheduler holds at the other.
. "$(dirname "$0")/lib.sh"
command -v npm >/dev/null || { echo "npm is missing; run deploy/install test" >&2; exit 1; }
cd "$root/tests/system/openai"
[ -d node_modules/openai ] || npm ci --no-audit --no-fund >"$state/npm.log" 2>&1 || { cat "$state/npm.log" >&2; exit 1; }
cluster --nodes 2 --schedulers 2
second=http://127.0.0.1:$((port + 1))
items=$root/models/recommender/items.ndjson

send() { # send METHOD URL USER BODY
    curl -s -m 30 -X "$1" "$2" -H "X-Qiao-User: $3" --data-binary "$4"
}
holds() { grep -q "$1" "$state/body"; }
asks() { # asks URL USER QUESTION: the answer in $state/body
    send POST "$1/v1/chat/completions" "$2" "{\"messages\":[{\"role\":\"user\",\"content\":\"$3\"}],
        \"temperature\":0,\"max_tokens\":40,\"context\":[\"history\",\"search:shop\"]}" >"$state/body"
}
redis() { redis-cli -p $((port + 200)) "$@"; }
finds() { asks "$1" bob "Bamboo phone 5" && holds '"source":"search:shop","id"'; }

send PUT "$url/v1/items" "" "@$items" >"$state/body"
check "the catalogue is written" holds '"errors":\[\]'
send PUT "$url/v1/indexes/shop" "" '{"fields":{"titles.zh":2,"titles.en":2,"category":1},"sortable":["price"],"facets":["attributes.colour"]}' >/dev/null
send POST "$url/v1/indexes/shop/documents?wait=true" "" "@$items" >"$state/body"
check "and the index" holds '"errors":\[\]'
send PUT "$url/v1/me/consents" ann '{"consents":{"history":true,"assistant":true}}' >/dev/null
now=$(date +%s)
send POST "$url/v1/events" ann "{\"events\":[{\"type\":\"view\",\"item\":\"phone-bamboo-3\",\"time\":$((now - 86400))},
    {\"type\":\"cart\",\"item\":\"phone-summit-2\",\"time\":$((now - 60))}]}" >"$state/body"
check "ann has done something" holds '"stored":2'
check "the other scheduler has the index" eventually 60 finds "$second"

QIAO_URL=$url node --test grounded.test.mjs

# Without a consent no history is read: Redis is asked for the consent, and for no list.
watch_redis
asks "$url" ann "What have I looked at?"
check "with a consent the history is told" holds '"source":"history","id"'
told
before=$(reads)
check "and was read" test "$before" -ge 1
send PUT "$second/v1/me/consents" ann '{"consents":{"assistant":false}}' >/dev/null
asks "$url" ann "What have I looked at?"
check "withdrawn at one scheduler, it is used at none" holds '"skipped":"no consent"'
send PUT "$url/v1/me/consents" ann '{"consents":{"assistant":true}}' >/dev/null
send PUT "$url/v1/me/personalization" ann '{"enabled":false}' >/dev/null
asks "$second" ann "What have I looked at?"
check "nor is it with personalization off" holds '"skipped":"no consent"'
told
kill $monitor
wait $monitor 2>/dev/null || true
check "and was not read" test "$(reads)" = "$before"

# A node that dies in the middle of the answer: another one goes on with the same prompt.
send PUT "$url/v1/me/personalization" ann '{"enabled":true}' >/dev/null
body='{"messages":[{"role":"user","content":"介绍一下远山手机 2"}],"temperature":0.9,"seed":7,"max_tokens":400,"logit_bias":'"$(endless)"',"stream":true,"context":["history","search:shop"]}'
text() { grep -o '"content":"[^"]*"' "$1" | cut -d'"' -f4 | tr -d '\n'; }
curl -sN -m 60 "$url/v1/chat/completions" -H "X-Qiao-User: ann" -d "$body" >"$state/whole"
curl -sN -m 60 "$url/v1/chat/completions" -H "X-Qiao-User: ann" -d "$body" >"$state/broken" &
stream=$!
check "an answer is under way" eventually 60 grep -q '"content":"[^"]' "$state/broken"
busy=node-1
is_busy node-1 || busy=node-2
kill -9 "$(pid_of "$busy")"
wait $stream
check "an answer outlives its node" test "$(text "$state/broken")" = "$(text "$state/whole")"
check "and says what it was grounded on" grep -q '"context":\[{"n":1,"source":"history"' "$state/broken"
check "it is counted" has 'qiao_grounds_total{source="history",outcome="added"}' "$(curl -s "$url/metrics" | grep qiao_grounds)"
echo "grounded: ok"
