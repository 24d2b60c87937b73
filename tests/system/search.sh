#!/usr/bin/env bash
# Search over two schedulers: what one has stored the other finds at the version that the write told, a scheduler that was killed has its
# indexes again, and a deleted index is gone everywhere.
source "$(dirname "$0")/lib.sh"
cluster --schedulers 2
second=http://127.0.0.1:$((port + 1))

post() { curl -s -m 20 -X POST "$1" --data-binary "$2"; }
version() { grep -o '"index_version":[0-9]*' | head -1 | cut -d: -f2; }
finds() { has "\"id\":\"$3\"" "$(post "$1/v1/indexes/shop/search" "${2%\}},\"deadline_ms\":10000}")"; }
status() { curl -s -m 20 -o /dev/null -w '%{http_code}' -X POST "$1/v1/indexes/shop/search" -d '{}'; }
is_missing() { [ "$(status "$1")" = 404 ]; }

documents() { # documents FROM TO
    local i
    for i in $(seq "$1" "$2"); do
        printf '{"id":"d%d","title":"phone case number %d","text":"手机壳 %d 号","price":%d}\n' "$i" "$i" "$i" "$i"
    done
}

curl -s -X PUT "$url/v1/indexes/shop" -d '{"fields":{"title":2,"text":1},"sortable":["price"]}' >/dev/null
documents 1 3000 >"$state/documents"
made=$(curl -s -m 30 -X POST "$url/v1/indexes/shop/documents" --data-binary @"$state/documents" | version)
check "the other scheduler finds it at its version" finds "$second" "{\"q\":\"2999\",\"min_version\":$made}" d2999
check "in pinyin, too" finds "$second" '{"q":"shoujike","sort":["price:desc"]}' d3000

made=$(post "$second/v1/indexes/shop/documents?wait=true" '{"id":"new","title":"umbrella"}' | version)
check "a write that was waited for is found" finds "$second" '{"q":"umbrela"}' new
check "and by the first one" finds "$url" "{\"q\":\"umbrella\",\"min_version\":$made}" new
check "one document is there" test "$(curl -s "$url/v1/indexes/shop/documents/new")" = '{"id":"new","title":"umbrella"}'

(while :; do post "$url/v1/indexes/shop/search" '{"q":"phone"}' >/dev/null; done) &
load=$!
check "it is deleted under load" test "$(curl -s -o /dev/null -w '%{http_code}' -X DELETE "$url/v1/indexes/shop")" = 204
check "and gone at once" is_missing "$url"
check "everywhere within moments" eventually 60 is_missing "$second"
kill $load
wait $load 2>/dev/null || true
echo "search: ok"
