#!/usr/bin/env bash
# The canary: a thousand secrets go through chats, streams, sessions, grounded chats, completions, embeddings, searches and events of two schedulers. After
# their users were erased none of them is anywhere: not in the memory of schedulers and nodes, not in logs, metrics or on disk, and not in
# Redis, its files or its replica; in no form in which a text or its tokens may stand. What looks for them finds each kind of place first.
#
#   canary.sh [REGION]      by deploy/policy's rules of a region; without it ungoverned
source "$(dirname "$0")/lib.sh"
region=${1:-}
mkdir "$state/replica"

cluster --nodes 1 --schedulers 2 --shop ${region:+--region "$region" --producer 001191110000000000000E10001}
redis=$((port + 200)) replica=$((port + 201))
redis-cli -p "$redis" config set appendonly yes >"$state/redis.said"
redis-cli -p "$redis" config set slowlog-log-slower-than 0 >>"$state/redis.said"
redis-cli -p "$redis" config set slowlog-max-len 100000 >>"$state/redis.said"
rewritten() { # the append-only file is begun
    local info
    info=$(redis-cli -p "$1" info persistence)
    has aof_enabled:1 "$info" && has aof_rewrite_in_progress:0 "$info" && has aof_rewrite_scheduled:0 "$info"
}
check "Redis has begun its append-only file" eventually 60 rewritten "$redis"
launch replica redis-server --port "$replica" --bind 127.0.0.1 --dir "$state/replica" --save "" --appendonly yes \
    --replicaof 127.0.0.1 "$redis"
leave() { kill "$(pid_of replica)" 2>/dev/null || true; }
trap 'leave; end' EXIT
follows() { has master_link_status:up "$(redis-cli -p "$replica" info replication)"; }
check "Redis has a replica" eventually 60 follows
check "which has begun its own" eventually 60 rewritten "$replica"
python3 "$root/tests/system/canary.py" "$state" "$port" "$bin/qiao-probe" \
    "$root/models/assistant/qiao-mini.gguf" "$root/models/encoder/qiao-encoder.gguf" $region
