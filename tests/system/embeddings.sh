#!/usr/bin/env bash
# Embeddings through the door: the vectors of a real encoder are those of its makers, alone and among others, as numbers and as
# base64, and while one of its two nodes is killed.
source "$(dirname "$0")/lib.sh"
models=${QIAO_SHARED:-$root/../shared}/data/models
encoder=$models/all-minilm-l6-v2-f16.gguf
[ -f "$encoder" ] || { echo "skipped: no shared data"; exit 0; }

node() { # node NAME
    launch "$1" "$bin/qiao-node" --model "$encoder" --name "$1" --threads 1 --scheduler "tcp://127.0.0.1:$((port + 100))"
}
serves() { [ "$(curl -s -m 10 "$url/admin/nodes" | grep -o '"name":"node-[89]"' | wc -l)" = 2 ] &&
    curl -s -m 20 -o /dev/null -f "$url/v1/embeddings" -d '{"input":"hello","model":"'"$1"'"}'; }

cluster --nodes 1
node node-8
node node-9
name=$(python3 "$root/tests/system/embeddings.py" name "$encoder")
check "two nodes serve $name" eventually 60 serves "$name"
python3 "$root/tests/system/embeddings.py" ask "$url" "$name" "$models/all-minilm-l6-v2-f16.reference.json" \
    "$models/all-minilm-l6-v2-f16.reference.f32" "$(pid_of node-9)"
