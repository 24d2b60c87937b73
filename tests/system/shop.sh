#!/usr/bin/env bash
# deploy/local --shop, as `make up` runs it: the bundled encoder, recommender and chat model on the demo shop, asked by the commands
# that it prints.
source "$(dirname "$0")/lib.sh"
# finds SEARCH ID: among the first five, with all the time that a search may have
found() { curl -s -m 20 "$url/v1/indexes/shop/search" -d "${1%\}},\"limit\":5,\"deadline_ms\":10000}" | { grep -o '"id":"[^"]*"' || true; }; }
finds() { has "\"id\":\"$2" "$(found "$1")"; }
lacks() { ! finds "$@"; }
recommends() { has '"title":"Bamboo phone' "$(curl -s -m 20 "$url/v1/recommendations" -d '{"model":"qiao-shop","session":["phone-bamboo-1"],"count":3}')"; }
asks() { # asks TEXT [CURL'S FLAGS…]: a grounded chat
    curl -s -m 120 "$url/v1/chat/completions" "${@:2}" \
        -d "{\"temperature\":0,\"context\":[\"search:shop\"],\"messages\":[{\"role\":\"user\",\"content\":\"$1\"}]}"
}
grounds() { # grounds TEXT ID: the answer stays in $state/answer
    asks "$1" >"$state/answer"
    grep -q "\"id\":\"$2" "$state/answer"
}
lists_three() { [ "$(curl -s -m 20 "$url/v1/models" | grep -o '"object":"model"' | wc -l)" = 3 ]; }
is_current() { # every document has its vector, and every node that a search may ask has them all
    curl -s -m 20 "$url/v1/indexes/shop" | python3 -c 'import json,sys
v = json.load(sys.stdin)["vectors"]
sys.exit(not (v["documents"] > 0 and v["waiting"] == 0 and 0 < v["version"] == v["shards_version"]))'
}

cluster --shop --nodes 1 --schedulers 2
check "the commands for the shop are printed" grep -q "/v1/indexes/shop/search" "$state/start.log"
check "words find a product" eventually 60 finds '{"q":"Bamboo phone 1"}' phone-bamboo-1
check "all has vectors" eventually 60 is_current
check "another word for a thing finds it by its meaning" finds '{"q":"移动电源","hybrid":{"semantic_ratio":0.5}}' powerbank-
check "a need finds the thing that meets it" finds '{"q":"something to protect my phone when it falls","hybrid":{"semantic_ratio":0.9}}' case-
check "words alone do not" lacks '{"q":"移动电源"}' powerbank-
check "recommendations have names of the catalogue" eventually 60 recommends
check "all three models are listed" eventually 60 lists_three
check "a chat is grounded by what a question means, where its words find nothing" eventually 60 grounds "移动电源多少钱？" powerbank-
retry=$(asks "移动电源多少钱？" -H 'Idempotency-Key: shop-1')
check "but not where a retry must find the same" test "$(grep -c '"choices"' <<<"$retry") $(grep -c powerbank- <<<"$retry")" = "1 0"
check "a chat is grounded on the shop" eventually 60 grounds "How much is the Bamboo phone 1?" phone-bamboo-1
cat "$state/answer"
