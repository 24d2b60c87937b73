#!/usr/bin/env bash
# Searches beyond words through the door: in a user's order with consent and in nobody's without, what is missing is told, and the
# parts of a score add up to it.
source "$(dirname "$0")/lib.sh"
mkdir -p "$state/run" "$state/log"

node() { # node NAME FILE
    setsid "$bin/qiao-node" --model "$2" --name "$1" --threads 1 --scheduler "tcp://127.0.0.1:$((port + 100))" \
        >>"$state/log/$1.log" 2>&1 </dev/null &
    echo $! >"$state/run/$1.pid"
    disown
}
recommends() { curl -s -m 5 "$url/v1/recommendations" -d '{"model":"qiao-shop","session":["phone-bamboo-3"]}' | grep -q '"basis":"session"'; }

cluster --nodes 1
node node-8 "$root/models/recommender/qiao-shop.gguf"
check "the recommender is there" eventually 10 recommends
python3 "$root/tests/system/hybrid.py" personal "$url" $((port + 200)) "$root/models/recommender/items.ndjson"
echo "hybrid: ok"
