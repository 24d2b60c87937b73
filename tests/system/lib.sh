# What the system tests share: a cluster of their own on free ports in a new directory, ended with the test.
#
# A test holds on a machine of any pace, beside whatever else runs there: it waits for what it needs, long (`eventually`), and never for a
# time to be over. What every step was called with stands in $state/trace, whose end is shown when the test fails.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
bin=$root/build/bin
state=$(mktemp -d /tmp/qiao-system-XXXXXX)
mkdir "$state/run" "$state/log"
port=
exec {trace}>"$state/trace"
BASH_XTRACEFD=$trace PS4='+ $EPOCHREALTIME '
set -x

taken() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
free_port() { # a base port P such that P…P+299 are this test's, and no port of outgoing connections
    local first=$((RANDOM % 41)) i base offset lock -
    set +x
    for i in {0..40}; do # a slot is whose who holds its lock: the test, and what it started, for as long as that lives
        base=$((20000 + (first + i) % 41 * 300))
        (umask 0 && [ -e "/tmp/qiao-system-$base.lock" ] || : >"/tmp/qiao-system-$base.lock") 2>/dev/null || true
        { exec {lock}<"/tmp/qiao-system-$base.lock"; } 2>/dev/null || continue
        if flock -n "$lock"; then
            for offset in 0 1 2 100 101 102 {200..213}; do taken $((base + offset)) && continue 2; done
            port=$base
            return
        fi
        exec {lock}<&-
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
    set +x
    "$root/deploy/local" stop --state "$state" >/dev/null 2>&1 || true
    for file in "$state"/run/*.pid; do # of other names than a cluster's
        [ ! -e "$file" ] || kill -KILL "$(cat "$file")" 2>/dev/null || true
    done
    for file in "$state"/*.search.pid; do
        [ -e "$file" ] && stop_search_redis "$(basename "$file" .search.pid)"
    done
    if [ $code -ne 0 ]; then
        echo "--- failed; the last steps:" >&2
        tail -n 60 "$state/trace" | cut -c 1-1000 >&2
        echo "--- and the logs' last lines:" >&2
        tail -n 20 "$state"/log/*.log >&2 2>/dev/null || true
    fi
    [ -n "${KEEP:-}" ] || rm -rf "$state" # KEEP=1: to look at what it left
    exit $code
}
trap end EXIT
trap 'exit 143' TERM # by ctest's timeout: what was under way is shown

launch() { # launch NAME COMMAND…: a process that ends with the test; what it says is in $state/log/NAME.log
    local name=$1
    shift
    setsid "$@" >>"$state/log/$name.log" 2>&1 </dev/null &
    echo $! >"$state/run/$name.pid"
    disown # its end is no news
}
pid_of() { cat "$state/run/$1.pid"; }
gone() { # gone PID: it has ended, though nobody may have asked how
    ! kill -0 "$1" 2>/dev/null || [ "$(grep -cs $'^State:\tZ\|^Threads:\t1$' "/proc/$1/status")" = 2 ]
}
slay() { # slay NAME: and wait until its ports are free
    kill -KILL "$(pid_of "$1")"
    eventually 60 gone "$(pid_of "$1")" || { echo "not so: $1 ends when it is killed" >&2; exit 1; }
}
has() { grep -q -- "$1" <<<"$2"; } # has PATTERN TEXT
check() { # check WHAT COMMAND…
    local what=$1
    shift
    "$@" && { echo "ok: $what"; return; }
    echo "not so: $what" >&2
    [[ ${!#} != "$state"/* || ! -f ${!#} ]] || tail -c 2000 "${!#}" >&2 # a file that was looked into
    exit 1
}
endless() { # a logit_bias with which an answer of the bundled model goes on to its max_tokens
    PYTHONPATH=$root/tests/conformance python3 - "$root/models/assistant/qiao-mini.gguf" <<'PY'
import json, sys, reference
tokens = reference.Model(sys.argv[1]).pairs["tokenizer.ggml.tokens"]
print(json.dumps({str(tokens.index(end)): -100 for end in ("<|endoftext|>", "<|im_end|>")}))
PY
}
ready() { # ready URL: the scheduler serves a model, and has its Redis
    has '"ready":true.*"redis":"up"' "$(curl -s -m 10 "$1/ready")"
}
is_busy() { # is_busy NODE: answers are under way there
    has "\"name\":\"$1\",\"region\":[^]]*\],[^}]*\"in_flight\":[1-9]" "$(curl -s -m 10 "$url/admin/nodes")"
}
watch_redis() { # what Redis is asked from now on stands in $state/monitor; told() as far as that is to be looked at; ended by `kill $monitor`
    redis-cli -p $((port + 200)) monitor >"$state/monitor" &
    monitor=$! marks=0
    check "Redis tells what it runs" eventually 60 grep -q OK "$state/monitor"
}
told() { # up to now: our own ECHO comes after what was asked before it
    marks=$((marks + 1))
    redis-cli -p $((port + 200)) echo "mark-$marks-" >/dev/null
    check "Redis has told all" eventually 60 grep -q "mark-$marks-" "$state/monitor"
}
reads() { grep -c -i '"lrange"' "$state/monitor" || true; } # of lists, such as histories
eventually() { # eventually SECONDS COMMAND…: so many times ten tries; a machine that is slow has longer
    local tries=$(($1 * 10))
    shift
    until "$@"; do
        ((tries-- > 0)) || return 1
        sleep 0.1
    done
}
