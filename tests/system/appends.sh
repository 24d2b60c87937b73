#!/usr/bin/env bash
# What sessions lose in failovers of Redis: clients append turns with durability "replicated" through the scheduler while the
# master behind three Sentinels is killed, or replaced while it takes writes. Every turn that was answered must stand in its
# session, once and in its order.
#
#   [REPLICAS=1] tests/system/appends.sh [KILLED [REPLACED]]      (2 and 0 when not said)
#
# REPLICAS is --session-replicas. Redis promises less than this asks for (docs/redis.md): a master that is replaced may lose
# what only one of two replicas had, so REPLACED wants REPLICAS=2.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/sentinels.sh"
free_port
base=$((port + 200)) url=http://127.0.0.1:$port replicas=${REPLICAS:-1}
sentinels $base
echo '[{"key":"sk-one-0123456789","id":"one","tenant":"shop","may_assert_user":true}]' >"$state/keys"
launch scheduler-1 "$bin/qiao-scheduler" --listen "127.0.0.1:$port" --keys "$state/keys" --session-key "$state/session.key" \
    --listen-nodes "tcp://127.0.0.1:$((port + 100))" --session-replicas "$replicas" --redis-master qiao \
    --redis-sentinel "127.0.0.1:$((base + 3)),127.0.0.1:$((base + 4)),127.0.0.1:$((base + 5))"
launch node-1 "$bin/qiao-node" --engine echo --name echo --scheduler "tcp://127.0.0.1:$((port + 100))"
check "the scheduler is ready" eventually 60 ready "$url"
python3 "$root/tests/system/appends.py" "$state" "$url" "$base" "${1:-2}" "${2:-0}"
kill "$(pid_of scheduler-1)" "$(pid_of node-1)"
rm "$state/run/scheduler-1.pid" "$state/run/node-1.pid"
