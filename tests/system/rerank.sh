#!/usr/bin/env bash
# Reranks through the door: the scores of a cross-encoder -- a real encoder's body, a head of ours -- are those of a second computation,
# alone and among others, in both shapes, and while one of its two nodes is killed.
source "$(dirname "$0")/lib.sh"
encoder=${QIAO_SHARED:-$root/../shared}/data/models/all-minilm-l6-v2-f16.gguf
[ -f "$encoder" ] || { echo "skipped: no shared data"; exit 0; }
cross=$state/cross.gguf
PYTHONPATH=$root/tests/conformance python3 "$root/tests/system/rerank.py" make "$encoder" "$cross"

node() { # node NAME
    launch "$1" "$bin/qiao-node" --model "$cross" --name "$1" --threads 1 --scheduler "tcp://127.0.0.1:$((port + 100))"
}
serves() { [ "$(curl -s -m 10 "$url/admin/nodes" | grep -o '"name":"node-[89]"' | wc -l)" = 2 ] &&
    curl -s -m 20 -o /dev/null -f "$url/rerank" -d '{"query":"hello","texts":["hello"]}'; }

cluster --nodes 1
node node-8
node node-9
check "two nodes serve the cross-encoder" eventually 60 serves
PYTHONPATH=$root/tests/conformance python3 "$root/tests/system/rerank.py" ask "$url" "$cross" "$bin/qiao-probe" "$(pid_of node-9)"
