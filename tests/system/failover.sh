#!/usr/bin/env bash
# Redis that others keep: behind Sentinels a master dies, in a Cluster one of three does, and sessions and limits go on
# within 5 s of there being another. (What such a failover loses: tests/unit/scheduler/state/failover_test.c, docs/redis.md.)
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/sentinels.sh"

serve() { # serve [flags]: a scheduler that refuses limited requests while Redis is away, with an echo node
    url=http://127.0.0.1:$port
    echo '[{"key":"sk-one-0123456789","id":"one","tenant":"shop","requests_per_minute":100000,"may_assert_user":true}]' >"$state/keys"
    launch scheduler-1 "$bin/qiao-scheduler" --listen "127.0.0.1:$port" --keys "$state/keys" \
        --listen-nodes "tcp://127.0.0.1:$((port + 100))" --limits-when-away closed --session-key "$state/session.key" "$@"
    launch node-1 "$bin/qiao-node" --engine echo --name echo --scheduler "tcp://127.0.0.1:$((port + 100))"
    check "the scheduler is ready" eventually 60 ready "$url"
}
turn() { # turn USER: one turn of the user's session
    curl -s -o "$state/answer" -w '%{http_code}' --max-time 20 "$url/v1/chat/completions" -H 'Authorization: Bearer sk-one-0123456789' \
        -H "X-Qiao-User: $1" -H 'Content-Type: application/json' \
        -d '{"session":"s","messages":[{"role":"user","content":"hi"}],"max_tokens":4}'
}
served() { [ "$(turn "$1")" = 200 ]; }
all_served() { local user; for user in $(seq 40); do served "$user" || return 1; done; }
kill_and_time() { # kill_and_time NAME WHAT PORTS COMMAND…: how long Redis is without a master at one of the ports is Redis' own affair
    local name=$1 what=$2 ports=$3 begin
    shift 3
    slay "$name"
    begin=$(date +%s%N)
    check "another master is there" eventually 60 leads $ports
    echo "   ($((($(date +%s%N) - begin) / 1000000)) ms)"
    check "$what" eventually 5 "$@"
    echo "   ($((($(date +%s%N) - begin) / 1000000)) ms)"
}
leads() { local at; for at in "$@"; do says "$at" role:master INFO replication && return; done; return 1; } # leads PORT…
went_on() { # went_on PORT…: at the one that is a master, the session has its second turn
    local at key
    for at in "$@"; do
        says "$at" role:master INFO replication || continue
        key=$(redis-cli -p "$at" --scan --pattern 'qiao:*:session:s')
        [ "$(redis-cli -p "$at" HGET "$key" v)" -ge 2 ] && return 0
    done
    return 1
}
stop() { local name; for name in scheduler-1 node-1; do kill "$(pid_of $name)" && rm "$state/run/$name.pid"; done; }

# --- Sentinel: a master, two replicas, three Sentinels
free_port
base=$((port + 200))
sentinels $base
serve --redis-sentinel "127.0.0.1:$((base + 3)),127.0.0.1:$((base + 4)),127.0.0.1:$((base + 5))" --redis-master qiao
check "a limited request with a session is served" eventually 60 served anna
kill_and_time redis-1 "by which it is served within 5 s" "$((base + 1)) $((base + 2))" served anna
check "where the session went on" went_on $((base + 1)) $((base + 2))
stop

# --- Cluster: three masters and a replica of the first
free_port
base=$((port + 200))
for i in 0 1 2 3; do
    redis "member-$i" $((base + i)) --cluster-enabled yes --cluster-port $((base + 10 + i)) --cluster-node-timeout 500 \
        --cluster-require-full-coverage no --cluster-replica-validity-factor 0
done
for i in 0 1 2; do redis-cli -p $((base + i)) CLUSTER ADDSLOTSRANGE $((i * 5461)) $((i == 2 ? 16383 : i * 5461 + 5460)) >/dev/null; done
for i in 1 2 3; do redis-cli -p $((base + i)) CLUSTER MEET 127.0.0.1 $base $((base + 10)) >/dev/null; done
for i in 0 1 2 3; do check "member-$i knows all" eventually 60 says $((base + i)) "cluster_known_nodes:4" CLUSTER INFO; done
first=$(redis-cli -p $base CLUSTER MYID)
check "member-3 follows member-0" eventually 60 says $((base + 3)) OK CLUSTER REPLICATE "$first"
for i in 0 1 2 3; do check "member-$i is content" eventually 60 says $((base + i)) "cluster_state:ok" CLUSTER INFO; done
check "and in step" eventually 60 says $((base + 3)) "master_link_status:up" INFO replication
serve --redis-cluster "127.0.0.1:1,127.0.0.1:$((base + 1))"
check "forty users' sessions are served" eventually 60 all_served
for i in 0 1 2; do
    check "master $i keeps some of them" test "$(redis-cli -p $((base + i)) DBSIZE)" -gt 0
done
kill_and_time member-0 "by which all are served within 5 s" $((base + 3)) all_served
