#!/usr/bin/env bash
# Prompts go back to the node that has their blocks; a node that drains is left, one that hangs in the middle is overtaken.
. "$(dirname "$0")/lib.sh"
ask() { "$bin/qiaoctl" --url "$url" chat --temperature 0 --max-tokens 60 "$1"; }
load() { # load SEED: twelve long prompts, one after another; how much of them was cached, in percent
    "$bin/qiao-load" --url "$url" --concurrency 1 --requests 12 --prompt-tokens 300-300 --max-tokens 2 --seed "$1" --json - 2>/dev/null |
        python3 -c 'import json, sys; t = json.load(sys.stdin)["tokens"]; print(100 * t["cached"] // t["prompt"])'
}
counter() { curl -s "$url/metrics" | awk -v name="qiao_scheduler_$1" '$1 == name || $1 == "qiao_" substr(name, 16) {print int($2)}'; }

cluster --nodes 3
first=$(load 1)
told() { # the scheduler knows of all blocks that its nodes have
    local cached
    cached=$(curl -s "$url/admin/nodes" | grep -o '"kv_blocks_cached":[0-9]*' | awk -F: '{sum += $2} END {print sum + 0}')
    [ "$cached" -ge 20 ] && [ "$(counter index_blocks)" -ge "$cached" ]
}
check "the nodes have told what they have" eventually 60 told
second=$(load 1)
check "of new prompts little is cached: $first %" test "$first" -le 50
check "asked again they go where they are: $second % cached" test "$second" -ge 90
check "the index knows of them" test "$(counter index_blocks)" -ge 20

golden=$(ask "给我讲一个故事")
for i in 1 2 3 4 5 6; do
    (for j in $(seq 60); do ask "给我讲一个故事"; done >"$state/answer-$i" 2>"$state/error-$i") &
done
check "answers are under way" eventually 60 is_busy node-1
node=$("$bin/qiaoctl" --url "$url" nodes --json | grep -o '"name": *"[^"]*"' | head -1 | cut -d'"' -f4)
"$bin/qiaoctl" --url "$url" drain "$node" >/dev/null
sleep 0.5
"$bin/qiaoctl" --url "$url" undrain "$node" >/dev/null
wait
whole=$(cat "$state"/answer-* | grep -cxF -- "$golden" || true)
check "360 answers are whole while $node is drained and back: $whole" test "$whole" -eq 360
