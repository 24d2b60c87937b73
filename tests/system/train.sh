#!/usr/bin/env bash
# From one's own events to one's own model: what users who agreed did is exported without their names, learned from, and served.
source "$(dirname "$0")/lib.sh"
cluster --nodes 1
python=/usr/bin/python3

knows() { has '"basis":"session"' "$(curl -s -m 20 "$url/v1/recommendations" -d "{\"model\":\"$1\",\"session\":[\"$2\"]}")"; }
ctl() { "$bin/qiaoctl" --url "$url" "$@" >"$state/said" 2>&1 || { cat "$state/said" >&2; return 1; }; }

rare=$(python3 "$root/tests/system/train.py" fill "$url" "$root/models/recommender/items.ndjson")
check "the users that agreed are exported" ctl recommender export --out "$state/set"
check "with what was left out" grep -q "left out: 1 items that fewer than 5 users had, 0 users" "$state/said"
check "and nothing else" python3 "$root/tests/system/train.py" check "$state/set" "$rare"
check "nobody else can read it" test "$(stat -c %a "$state/set/events.ndjson")" = 600
check "purchases alone are fewer" ctl --types purchase --least-users 1 recommender export --out "$state/bought"
check "four of each" test "$(grep -o '"times":\[[0-9,]*\]' "$state/bought/events.ndjson" | tr -cd '0-9,\n' | awk -F, '{print NF}' | sort -u)" = 4
if ! "$python" -c 'import torch' 2>/dev/null; then
    echo "skipped: no python3-torch"
    exit 0
fi
timeout 900 "$python" "$root/models/recommender/train.py" --events "$state/set/events.ndjson" --out "$state/own.gguf" --name own-shop \
    --report "$state/report.json" --epochs 2 --dim 16 --blocks 1 --context 20 >"$state/trained" 2>&1 || { tail "$state/trained" >&2; exit 1; }
check "a model is trained, with a report" grep -q 'HR@10' "$state/report.json"
launch node-9 "$bin/qiao-node" --model "$state/own.gguf" --name node-9 --threads 1 --scheduler "tcp://127.0.0.1:$((port + 100))"
item=$(head -n 1 "$state/set/events.ndjson" | grep -o '"items":\["[^"]*' | cut -d'"' -f4)
check "and it is served" eventually 60 knows own-shop "$item"
echo "train: ok"
