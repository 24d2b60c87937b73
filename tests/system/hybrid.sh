#!/usr/bin/env bash
# Searches beyond words through the door: by what a question means where its words find nothing, in a user's order with consent and in nobody's without, what is missing is told, and the
# parts of a score add up to it.
# BACKEND=redisearch: the same of indexes in a RediSearch each.
source "$(dirname "$0")/lib.sh"

node() { # node NAME FILE
    launch "$1" "$bin/qiao-node" --model "$2" --name "$1" --threads 1 \
        --scheduler "tcp://127.0.0.1:$((port + 100)),tcp://127.0.0.1:$((port + 101))"
}
recommends() { has '"basis":"session"' "$(curl -s -m 20 "$url/v1/recommendations" -d '{"model":"qiao-shop","session":["phone-bamboo-3"]}')"; }

encoder=${QIAO_SHARED:-$root/../shared}/data/models/all-minilm-l6-v2-f16.gguf
embeds() { curl -s -m 20 -o /dev/null -f "$1/v1/embeddings" -d '{"input":"hello","model":"'"$name"'"}'; }

if [ "${BACKEND:-memory}" = redisearch ]; then
    for index in shop texts many; do
        search_redis $index
        QIAO_SEARCH_REDISEARCH=${QIAO_SEARCH_REDISEARCH:+$QIAO_SEARCH_REDISEARCH,}local:$index=$state/$index.sock
    done
    export QIAO_SEARCH_REDISEARCH
fi
cluster --nodes 1 --schedulers 2
second=http://127.0.0.1:$((port + 1))
node node-8 "$root/models/recommender/qiao-shop.gguf"
check "the recommender is there" eventually 60 recommends
python3 "$root/tests/system/hybrid.py" personal "$url" $((port + 200)) "$root/models/recommender/items.ndjson"
node node-7 "$root/models/encoder/qiao-encoder.gguf"
name=qiao-encoder
check "the bundled encoder is there" eventually 60 embeds "$url"
python3 "$root/tests/system/hybrid.py" filters "$url" "$name"
if [ -f "$encoder" ]; then
    node node-9 "$encoder"
    name=$(python3 "$root/tests/system/embeddings.py" name "$encoder")
    check "the encoder is there" eventually 60 embeds "$url"
    check "for the other scheduler, too" eventually 60 embeds "$second"
    python3 "$root/tests/system/hybrid.py" meaning "$url" "$second" "$name" "$(pid_of node-9)"
else
    echo "skipped: no shared data"
fi
echo "hybrid: ok"
