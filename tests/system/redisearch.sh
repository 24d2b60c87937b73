#!/usr/bin/env bash
# An index that a RediSearch keeps, over two schedulers: it finds what the same index in memory finds, a write can be waited for at whatever
# scheduler, and it is whole again after its writer was killed, after its Redis was away, and after that has lost everything.
source "$(dirname "$0")/lib.sh"
module=/usr/lib/redis/modules/redisearch.so
[ -r $module ] || { echo "skipped: redis-redisearch is not installed ($module)"; exit 0; }

socket=$state/far.sock
search_redis far
export QIAO_SEARCH_REDISEARCH=local:far=$socket
cluster --schedulers 2
second=http://127.0.0.1:$((port + 1))

post() { curl -s -m 30 -X POST "$1" --data-binary "$2"; }
put() { curl -s -m 30 -X PUT "$url/v1/indexes/$1?wait=true" -d "$2"; }
ids() { grep -o '"id":"[^"]*"' | sort | tr '\n' ' '; }
total() { grep -o '"estimatedTotalHits":[0-9]*'; }
facets() { python3 -c 'import json, sys; a = json.load(sys.stdin); print(json.dumps([a.get("facetDistribution"), a.get("facetStats")], sort_keys=True))'; }
status() { curl -s -m 20 -o /dev/null -w '%{http_code}' -X POST "$1/v1/indexes/$2/search" -d "{\"q\":\"phone\",\"deadline_ms\":$3}"; }
is_status() { [ "$(status "$1" "$2" "$4")" = "$3" ]; } # is_status URL INDEX STATUS DEADLINE_MS
finds() { has "\"id\":\"$3\"" "$(post "$1/v1/indexes/far/search" "$2")"; }
lacks() { # lacks URL SEARCH ID: it is answered without the document
    local answer
    answer=$(post "$1/v1/indexes/far/search" "$2")
    has '"hits":' "$answer" && ! has "\"id\":\"$3\"" "$answer"
}
settings() { echo '{"fields":{"title":2,"text":1},"facets":["brand","price"],"sortable":["price"],"filterable":["tags"]'"$1}"; }

documents() { # documents FROM TO
    local i
    for i in $(seq "$1" "$2"); do
        printf '{"id":"d%d","title":"%s case number %d","text":"手机壳 %d 号 noise cancelling","price":%d,"brand":"Brand %d","tags":["t%d","u%d"]}\n' \
            "$i" "$([ $((i % 3)) = 0 ] && echo phone || echo tablet)" "$i" "$i" $((i % 97)) $((i % 5)) $((i % 11)) $((i % 4))
    done
}
agree() { # agree SEARCH: both indexes, at both schedulers
    local near far at
    near=$(post "$url/v1/indexes/near/search" "$1")
    for at in "$url" "$second"; do
        far=$(post "$at/v1/indexes/far/search" "$1")
        [ "$(ids <<<"$near")" = "$(ids <<<"$far")" ] && [ "$(total <<<"$near")" = "$(total <<<"$far")" ] &&
            [ "$(facets <<<"$near")" = "$(facets <<<"$far")" ] && continue
        printf '%s\nnear: %s\nfar:  %s\n' "$1" "$near" "$far" | cut -c1-400 >"$state/differs"
        return 1
    done
}
agree_all() {
    local search
    while read -r search; do
        agree "$search" || return 1
    done <<'SEARCHES'
{"q":"phone","limit":1000,"facets":["*"]}
{"q":"手机壳 phones","limit":1000,"facets":["brand"],"filter":"price > 90"}
{"q":"\"noise cancelling\" -tablet","limit":1000,"filter":"tags IN [t3, T4] AND NOT brand = 'brand 2'"}
{"q":"tablet case","limit":1000,"matchingStrategy":"all","facets":["price"],"filter":"price 10 TO 12"}
{"limit":25,"offset":3,"sort":["price:desc"],"filter":"price > 50 AND tags = u1 AND brand = 'Brand 1'"}
{"q":"tablte","limit":1000,"filter":"price < 5"}
{"q":"shoujike","limit":1000,"filter":"price = 7"}
{"q":"numb","limit":1000,"filter":"price IN [8, 9]"}
{"q":"gone umbrella","limit":1000}
SEARCHES
}

check "without such a Redis it is refused by name" has '"param":"backend"' "$(put other "$(settings ',"backend":"redisearch"')")"
put near "$(settings '')" >/dev/null
put far "$(settings ',"backend":"redisearch"')" >/dev/null
documents 1 1500 >"$state/documents"
for index in near far; do post "$url/v1/indexes/$index/documents?wait=true" "@$state/documents" >/dev/null; done
show() { "$@" || { cat "$state/differs" >&2; return 1; }; }
check "both find the same" show eventually 60 agree_all

for index in near far; do
    post "$second/v1/indexes/$index/documents?wait=true" '{"id":"d9","title":"umbrella phone","price":1000.5}' >/dev/null
    for id in d12 d13; do curl -s -m 20 -X DELETE "$second/v1/indexes/$index/documents/$id?wait=true" >/dev/null; done
done
check "what was replaced and deleted, too" show eventually 60 agree_all
check "a deleted document is gone" lacks "$url" '{"q":"\"number 12\""}' d12

writer() { grep -l 'search_writes index=index:local:far' "$state"/log/scheduler-*.log | tail -1 | grep -o 'scheduler-[0-9]*'; }
one=$(writer)
other=$([ "$one" = scheduler-1 ] && echo "$second" || echo "$url")
kill -9 "$(pid_of "$one")"
made=$(post "$other/v1/indexes/far/documents" '{"id":"late","title":"gramophone"}' | grep -o '"index_version":[0-9]*' | cut -d: -f2)
check "after its writer was killed, another one writes on" eventually 60 finds "$other" "{\"q\":\"gramophone\",\"min_version\":$made,\"deadline_ms\":1000}" late
check "from the version that was there" grep -q 'search_writes index=index:local:far version=[1-9][0-9]* anew=0' "$state"/log/scheduler-*.log

stop_search_redis far
check "while its Redis is away it is 503" eventually 60 is_status "$other" far 503 500
check "and the index in memory is not" is_status "$other" near 200 10000
search_redis far
check "when that comes back empty it is filled again" eventually 60 finds "$other" '{"q":"gramophone"}' late
is_whole() { has '"estimatedTotalHits":499' "$(post "$other/v1/indexes/far/search" '{"q":"phone","matchingStrategy":"all","limit":1}')"; }
check "with all of it" eventually 60 is_whole

curl -s -m 20 -X PUT "$other/v1/indexes/far?wait=true" -d "$(settings '')" >/dev/null
check "it moves into memory by its settings" eventually 60 finds "$other" '{"q":"gramophone"}' late
empty() { [ -z "$(redis-cli -s "$socket" hget qiao:search version)" ]; }
check "and leaves nothing behind" eventually 60 empty
echo "redisearch: ok"
