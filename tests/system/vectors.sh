#!/usr/bin/env bash
# Vectors over two schedulers and nodes of which two have a real encoder: documents get them, both schedulers find what a plain reckoning over
# /v1/embeddings finds, a node that is killed costs no answer, one that comes gets its shards, and a scheduler that is killed leaves its
# work to the other.
source "$(dirname "$0")/lib.sh"
models=${QIAO_SHARED:-$root/../shared}/data/models
encoder=$models/all-minilm-l6-v2-f16.gguf
[ -f "$encoder" ] || { echo "skipped: no shared data"; exit 0; }

node() { # node NAME
    launch "$1" "$bin/qiao-node" --model "$encoder" --name "$1" --threads 1 --scheduler "tcp://127.0.0.1:$((port + 100))"
}

cluster --schedulers 2 --nodes 1
node node-8
node node-9
second=http://127.0.0.1:$((port + 1))
name=$(python3 "$root/tests/system/embeddings.py" name "$encoder")
embeds() { curl -s -m 20 -o /dev/null -f "$1/v1/embeddings" -d '{"input":"hello","model":"'"$name"'"}'; }
check "the encoder is there" eventually 60 embeds "$url"
check "at the other scheduler, of which nodes hear later, too" eventually 60 embeds "$second"
ask() { python3 "$root/tests/system/vectors.py" "$@"; }

check "documents get vectors" ask fill "$url" "$name" 200 300
check "the first scheduler finds what is near" ask exact "$url" "$name" 200
check "so does the second" ask exact "$second" "$name" 200
check "a filter holds" ask filtered "$second" "$name" 200
check "what changed is found by its new text, what was deleted is not" ask change "$url" "$second" "$name"

ask steady "$url" "$second" 8 >"$state/steady" 2>&1 &
steady=$!
searches() { curl -s "$second/metrics" | awk '/^qiao_requests_total.*search/ {sum += $2} END {print sum + 0}'; }
before=$(searches)
go_on() { [ "$(searches)" -gt $((before + 3)) ]; }
check "searches go on" eventually 60 go_on
slay node-8
wait $steady || { cat "$state/steady" >&2; exit 1; }
echo "ok: no search fails or is cut while a node is killed"
check "all is on two nodes again" ask copies "$url" 2 120
check "and found" ask exact "$second" "$name" 200

node node-7
slay node-1
is_out() { ! has "\"name\":\"$1\"" "$(curl -s -m 10 "$2/admin/nodes")"; }
check "node-1 is out" eventually 60 is_out node-1 "$second"
check "a node that comes gets its shards" ask copies "$second" 2 120
kill -9 "$(pid_of node-9)"
check "and answers alone" eventually 60 ask exact "$second" "$name" 200

kill -9 "$(pid_of scheduler-1)"
check "the other scheduler goes on embedding" ask later "$second" "$name" 120
echo "vectors: ok"
