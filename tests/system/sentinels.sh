# What the tests with Redis servers of their own share, after lib.sh: servers that end with the test, and a group behind Sentinels.
servers=()

finish() { # as in lib.sh, after the Redis processes that deploy/local does not know
    local code=$? name
    for name in "${servers[@]}"; do kill -9 "$(pid_of "$name")" 2>/dev/null || true; done
    set +e
    (exit $code)
    end
}
trap finish EXIT

redis() { # redis NAME PORT [SETTING…]
    local name=$1 at=$2
    shift 2
    mkdir -p "$state/$name"
    launch "$name" redis-server --port "$at" --bind 127.0.0.1 --dir "$state/$name" --save "" "$@"
    servers+=("$name")
    check "$name is up" eventually 60 says "$at" PONG PING
}
says() { # says PORT PART COMMAND…
    local at=$1 part=$2
    shift 2
    grep -q -- "$part" <<<"$(redis-cli -p "$at" "$@" 2>/dev/null)"
}
sentinels() { # sentinels BASE: redis-1 at BASE and two replicas behind it, three Sentinels at BASE+3…BASE+5 that call them qiao
    local base=$1 i
    redis redis-1 $base --repl-diskless-sync-delay 0
    redis redis-2 $((base + 1)) --repl-diskless-sync-delay 0 --replicaof 127.0.0.1 $base
    redis redis-3 $((base + 2)) --repl-diskless-sync-delay 0 --replicaof 127.0.0.1 $base
    for i in 1 2; do check "its replica $i is in step" eventually 60 says $((base + i)) "master_link_status:up" INFO replication; done
    for i in 1 2 3; do
        printf 'sentinel monitor qiao 127.0.0.1 %s 2\nsentinel down-after-milliseconds qiao 500\nsentinel failover-timeout qiao 1000\n' \
            $base >"$state/sentinel-$i.conf"
        mkdir -p "$state/sentinel-$i"
        launch "sentinel-$i" redis-server "$state/sentinel-$i.conf" --port $((base + 2 + i)) --bind 127.0.0.1 \
            --dir "$state/sentinel-$i" --sentinel
        servers+=("sentinel-$i")
    done
    for i in 1 2 3; do
        check "sentinel-$i knows all" eventually 60 says $((base + 2 + i)) "slaves=2,sentinels=3" INFO sentinel
    done
}
