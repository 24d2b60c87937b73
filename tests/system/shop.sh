#!/usr/bin/env bash
# deploy/local --shop, as `make up` runs it: the bundled encoder, recommender and chat model on the demo shop, asked by the commands
# that it prints.
source "$(dirname "$0")/lib.sh"
found() { curl -s -m 10 "$url/v1/indexes/shop/search" -d "$1" | grep -o '"id":"[^"]*"' | head -n "${2:-1}"; }
finds() { found "$1" 5 | grep -q "\"id\":\"$2"; }

cluster --shop --nodes 1 --schedulers 2
check "the commands for the shop are printed" grep -q "/v1/indexes/shop/search" "$state/start.log"
check "words find a product" finds '{"q":"Bamboo phone 1"}' phone-bamboo-1
check "another word for a thing finds it by its meaning" eventually 60 finds '{"q":"移动电源","hybrid":{"semantic_ratio":0.5}}' powerbank-
check "a need finds the thing that meets it" finds '{"q":"something to protect my phone when it falls","hybrid":{"semantic_ratio":0.9}}' case-
check "words alone do not" bash -c "! curl -s -m 10 '$url/v1/indexes/shop/search' -d '{\"q\":\"移动电源\"}' | grep -q powerbank-"
check "recommendations have names of the catalogue" bash -c "curl -s -m 10 '$url/v1/recommendations' -d '{\"model\":\"qiao-shop\",\"session\":[\"phone-bamboo-1\"],\"count\":3}' | grep -q '\"title\":\"Bamboo phone'"
check "a chat is grounded on the shop" bash -c "curl -s -m 30 '$url/v1/chat/completions' -d '{\"temperature\":0,\"context\":[\"search:shop\"],\"messages\":[{\"role\":\"user\",\"content\":\"How much is the Bamboo phone 1?\"}]}' | tee '$state/answer' | grep -q '\"id\":\"phone-bamboo-1\"'"
asks_power() { curl -s -m 30 "$url/v1/chat/completions" "$@" -d '{"temperature":0,"context":["search:shop"],"messages":[{"role":"user","content":"移动电源多少钱？"}]}'; }
grounds_power() { asks_power | tee "$state/power" | grep -q '"id":"powerbank-'; }
check "and by what a question means, where its words find nothing" eventually 60 grounds_power
check "but not where a retry must find the same" bash -c "! grep -q powerbank- <<<'$(asks_power -H 'Idempotency-Key: shop-1')'"
check "all three models are listed" bash -c "[ \$(curl -s '$url/v1/models' | grep -o '\"object\":\"model\"' | wc -l) = 3 ]"
cat "$state/answer"
