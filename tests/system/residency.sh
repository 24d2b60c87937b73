#!/usr/bin/env bash
# What users did stays where their region's rules let it be: two regions whose data may go to their own nodes alone, each with a recommender
# there. Redis' MONITOR shows that another region's history is not read.
. "$(dirname "$0")/lib.sh"
openssl genpkey -algorithm ed25519 -out "$state/pay.pem" 2>/dev/null
printf '[{"source":"pay","public_key":"%s"}]' "$(openssl pkey -in "$state/pay.pem" -pubout -outform DER | base64 -w 0)" >"$state/partners"
export QIAO_PARTNERS=$state/partners
cluster --nodes 2 --shop --governed cn,eu
launch recommender-eu "$bin/qiao-node" --model "$root/models/recommender/qiao-shop.gguf" --name recommender-eu --threads 1 \
    --scheduler "tcp://127.0.0.1:$((port + 100))" --region eu

post() { # post REGION PATH BODY [METHOD]
    curl -s --max-time 60 -X "${4:-POST}" "$url$2" -H "X-Qiao-Region: $1" -H 'X-Qiao-User: ann' -d "$3"
}
look() { curl -s --max-time 60 "$url$2" -H "X-Qiao-Region: $1" -H 'X-Qiao-User: ann'; }
recommend() { post "$1" /v1/recommendations '{"model":"qiao-shop","count":3}'; }
has_not() { ! has "$@"; }
redis() { redis-cli -p $((port + 200)) --raw "$@"; }
serves() { has '"basis":"session"' "$(post "$1" /v1/recommendations '{"model":"qiao-shop","session":["phone-bamboo-1"]}')"; }
check "cn has a recommender" eventually 60 serves cn
check "eu has one" eventually 60 serves eu

post cn /v1/me/consents '{"consents":{"history":true,"recommendations":true,"search":true,"assistant":true}}' PUT >/dev/null
check "an event comes under cn" has '"stored":1' "$(post cn /v1/events '{"events":[{"id":"1","type":"view","item":"phone-bamboo-1"}]}')"
check "it lives as long as cn says" test "$(redis ttl "$(redis keys '*:events@*')")" -gt $((89 * 86400))
check "Redis does not say where" test -z "$(redis keys '*cn*' | grep u: || true)"

watch_redis
answer=$(recommend eu)
check "under eu it is not used" has '"basis":"popular"' "$answer"
check "and the answer says so" has '"withheld":"region_not_approved"' "$answer"
answer=$(post eu /v1/indexes/shop/search '{"q":"phone","personalize":1}')
check "nor in a search" has '"degraded":\["personal"\]' "$answer"
answer=$(post eu /v1/chat/completions '{"context":["history"],"messages":[{"role":"user","content":"Hi"}],"max_tokens":4}')
check "nor in a chat, which says so" has '"skipped":"of another region"' "$answer"
check "nor shown" has_not '"phone-bamboo-1"' "$(look eu /v1/me/events)"
told
check "it was not read" test "$(reads)" = 0
answer=$(recommend cn)
check "under cn it is used" has '"basis":"history"' "$answer"
check "and nothing is withheld" has_not withheld "$answer"
check "and it was read" eventually 60 bash -c "grep -q -i '\"lrange\"' '$state/monitor'"
kill $monitor
wait $monitor 2>/dev/null || true

check "an event comes under eu" has '"stored":1' "$(post eu /v1/events '{"events":[{"id":"1","type":"view","item":"case-woven-phone-bamboo-1"}]}')"
answer=$(recommend eu)
check "which eu uses, and it alone" has '"basis":"history"' "$answer"
check "and says that there are others" has '"withheld"' "$answer"
answer=$(look eu /v1/me/export)
check "an export has both" has '"phone-bamboo-1"' "$answer"
check "each with its region" test "$(grep '"object":"event"' <<<"$answer" | grep -o '"region":"[a-z]*"' | sort | tr -d '\n')" = '"region":"cn""region":"eu"'

# A partner's feed is of the region that it was brought under, however it goes on.
at() { date -u -d "@$1" +%Y-%m-%dT%H:%M:%SZ; }
now=$(date +%s) feed=$state/pay-1.ndjson
post eu /v1/me/consents '{"consents":{"partner:pay":true},"pseudonyms":{"pay":"p-ann"}}' PUT >/dev/null
printf '{"user":"p-ann","type":"purchase","item":"phone-bamboo-3","time":%d}\n' $((now - 60)) >"$feed"
printf '{"format":"qiao-feed-1","source":"pay","number":1,"file":"pay-1.ndjson","lines":1,"bytes":%d,"sha256":"%s","created":"%s","from":"%s","until":"%s"}' \
    "$(stat -c %s "$feed")" "$(sha256sum "$feed" | cut -d' ' -f1)" "$(at "$now")" "$(at $((now - 3600)))" "$(at "$now")" >"$feed.manifest"
openssl pkeyutl -sign -rawin -inkey "$state/pay.pem" -in "$feed.manifest" -out "$feed.manifest.sig"
check "a partner's feed is taken under cn" grep -q '1 stored' <("$bin/qiaoctl" --url "$url" --region cn events import "$feed" --source pay 2>&1)
check "and says so" has '"region":"cn"' "$(look cn /admin/feeds/pay)"
check "its events are shown there" has '"phone-bamboo-3"' "$(look cn /v1/me/events)"
check "and nowhere else" has_not '"phone-bamboo-3"' "$(look eu /v1/me/events)"

salted='{"salt":"0123456789abcdef0123"}'
check "a recommender of eu learns from eu's" has case-woven-phone-bamboo-1 "$(post eu /admin/histories "$salted")"
check "and from nothing of cn's" has_not '"phone-bamboo-1"' "$(post eu /admin/histories "$salted")"
check "qiaoctl exports a region's, and says that there are others" grep -q 'may not be used in region eu' \
    <("$bin/qiaoctl" --url "$url" --region eu --out "$state/export" recommender export 2>&1)
check "an erasure under eu is of all" has '"events":3' "$(post eu /v1/me '' DELETE)"
check "Redis has nothing more of them" test -z "$(redis keys '*:event*')"
