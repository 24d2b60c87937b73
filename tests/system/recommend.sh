#!/usr/bin/env bash
# Recommendations through the door: the demo shop's catalogue and model with consents and events over two schedulers, and the
# lists of the public recommender as qiao-probe makes them without a cluster.
source "$(dirname "$0")/lib.sh"
shared=${QIAO_SHARED:-$root/../shared}/data/recommend

recommender() { # recommender NAME FILE
    launch "$1" "$bin/qiao-node" --model "$2" --name "$1" --threads 1 \
        --scheduler "tcp://127.0.0.1:$((port + 100)),tcp://127.0.0.1:$((port + 101))"
}
knows() { has '"basis":"session"' "$(curl -s -m 20 "$1/v1/recommendations" -d "{\"model\":\"$2\",\"session\":[\"$3\"]}")"; }
items_of() { curl -s -m 20 "$1/v1/items" | grep -o '"count":[0-9]*'; }
has_items() { has '"count":[1-9]' "$(items_of "$url")" && [ "$(items_of "$url")" = "$(items_of "$1")" ]; } # has_items URL: all that the first has

cluster --nodes 1 --schedulers 2
second=http://127.0.0.1:$((port + 1))
recommender node-8 "$root/models/recommender/qiao-shop.gguf"
check "the demo shop's recommender is there" eventually 60 knows "$url" qiao-shop phone-bamboo-1
check "at the other scheduler, too" eventually 60 knows "$second" qiao-shop phone-bamboo-1
python3 "$root/tests/system/recommend.py" shop "$url" "$second" "$root/models/recommender/items.ndjson"
python3 "$root/tests/system/recommend.py" gorse "$url" "$root/models/recommender/items.ndjson"

recommender node-7 "$root/models/recommender/qiao-shop.gguf"
third=http://127.0.0.1:$((port + 210))
launch scheduler-9 "$bin/qiao-scheduler" --listen "${third#http://}" --listen-nodes "tcp://127.0.0.1:$((port + 211))" \
    --redis-port $((port + 200)) --session-key "$state/session.key" --slice-rows 100
ranks() { has '"node-7".*"node-8"\|"node-8".*"node-7"' "$(curl -s -m 20 "$1/admin/nodes")"; }
check "two nodes serve the recommender at a scheduler that cuts catalogues" eventually 60 ranks "$third"
check "and it has the names of the rows" eventually 60 knows "$third" qiao-shop phone-bamboo-1
check "and of all items" eventually 60 has_items "$third"
python3 "$root/tests/system/recommend.py" slices "$url" "$third" "$root/models/recommender/items.ndjson"
if [ -f "$shared/iclrec-beauty.gguf" ]; then
    recommender node-9 "$shared/iclrec-beauty.gguf"
    beauty=ICLRec-Beauty
    head -n 1000 "$shared/beauty.txt" >"$state/users"
    "$bin/qiao-probe" recommend --model "$shared/iclrec-beauty.gguf" --sequences "$state/users" --top 20 >"$state/lists" 2>/dev/null
    check "the public recommender is there" eventually 60 knows "$url" "$beauty" 17
    python3 "$root/tests/system/recommend.py" lists "$url" "$beauty" "$state/users" "$state/lists"
else
    echo "skipped: no shared data"
fi
