# What the system tests share: a cluster of their own on free ports in a new directory, ended with the test.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
bin=$root/build/bin
state=$(mktemp -d /tmp/qiao-system-XXXXXX)
mkdir "$state/run" "$state/log"
port=

free_port() { # a base port P such that none of P, P+1, P+100, P+101, P+200…P+213 is taken, nor lent to outgoing connections
    local base offset taken
    for _ in $(seq 100); do
        base=$((20000 + RANDOM % 12500)) taken=no
        for offset in 0 1 100 101 {200..213}; do
            (exec 3<>"/dev/tcp/127.0.0.1/$((base + offset))") 2>/dev/null && taken=yes
        done
        [ $taken = no ] && { port=$base; return; }
    done
    echo "no free ports" >&2
    exit 1
}

cluster() { # cluster [flags of deploy/local]
    free_port
    "$root/deploy/local" --detach --state "$state" --port "$port" "$@" >"$state/start.log" 2>&1 </dev/null || {
        cat "$state/start.log" "$state"/log/*.log >&2
        exit 1
    }
    url=http://127.0.0.1:$port
}

search_redis() { # search_redis NAME: one with RediSearch, at $state/NAME.sock
    redis-server --port 0 --unixsocket "$state/$1.sock" --save "" --dir "$state" --daemonize yes --pidfile "$state/$1.search.pid" \
        --loadmodule /usr/lib/redis/modules/redisearch.so MINPREFIX 1 MAXEXPANSIONS 1000000 MAXDOCTABLESIZE 5000000 \
        TIMEOUT 10000 ON_TIMEOUT FAIL >/dev/null
}
stop_search_redis() { # stop_search_redis NAME
    kill -9 "$(cat "$state/$1.search.pid")" 2>/dev/null || true
    rm -f "$state/$1.sock"
}

end() {
    local code=$? file
    "$root/deploy/local" stop --state "$state" >/dev/null 2>&1 || true
    for file in "$state"/*.search.pid; do
        [ -e "$file" ] && stop_search_redis "$(basename "$file" .search.pid)"
    done
    if [ $code -ne 0 ]; then
        echo "--- failed; the logs' last lines:" >&2
        tail -n 20 "$state"/log/*.log >&2 2>/dev/null || true
    fi
    [ -n "${KEEP:-}" ] || rm -rf "$state" # KEEP=1: to look at what it left
    exit $code
}
trap end EXIT

launch() { # launch NAME COMMAND…: a process that ends with the test; what it says is in $state/log/NAME.log
    local name=$1
    shift
    setsid "$@" >>"$state/log/$name.log" 2>&1 </dev/null &
    echo $! >"$state/run/$name.pid"
    disown # its end is no news
}
pid_of() { cat "$state/run/$1.pid"; }
check() { # check WHAT COMMAND…
    local what=$1
    shift
    "$@" || { echo "not so: $what" >&2; exit 1; }
    echo "ok: $what"
}
eventually() { # eventually SECONDS COMMAND…
    local tries=$(($1 * 10))
    shift
    until "$@"; do
        ((tries-- > 0)) || return 1
        sleep 0.1
    done
}
