#!/usr/bin/env bash
# One tenant floods a node, another asks for a little: by their tokens they share it, by their weights, and the urgent class
# goes first. Two places in an echo node; everybody always has someone waiting.
. "$(dirname "$0")/lib.sh"
free_port
url=http://127.0.0.1:$port

cat >"$state/keys.json" <<'KEYS'
[{"key": "the-key-that-floods", "id": "flood", "tenant": "flood"},
 {"key": "the-key-of-a-few", "id": "few", "tenant": "few"},
 {"key": "the-key-of-weight", "id": "heavy", "tenant": "heavy", "weight": 3},
 {"key": "the-key-of-an-admin", "id": "admin", "admin": true},
 {"key": "the-key-in-a-hurry", "id": "hurry", "tenant": "hurry", "priority": "interactive"}]
KEYS
launch scheduler-1 "$bin/qiao-scheduler" --listen "127.0.0.1:$port" --listen-nodes "tcp://127.0.0.1:$((port + 100))" \
    --redis-port $((port + 200)) --keys "$state/keys.json"
node() { # node REQUESTS
    launch node-1 "$bin/qiao-node" --engine echo --name echo --scheduler "tcp://127.0.0.1:$((port + 100))" \
        --echo-delay-ms 3 --sequences 2 --requests "$1"
}
node 256
serves() { curl -sf -o /dev/null --max-time 20 "$url/ready"; } # though it has no Redis
check "ready" eventually 60 serves

load() { # load KEY CONCURRENCY SECONDS: into $state/KEY.json. Each time new prompts: cached ones would be free
    "$bin/qiao-load" --url "$url" --key "$1" --concurrency "$2" --duration "$3" --no-stream --prompt-tokens 8-8 \
        --max-tokens 16-16 --seed $RANDOM --json "$state/$1.json" >/dev/null 2>"$state/$1.err" || true # it says when some failed
}
figure() { # figure KEY EXPRESSION of its JSON, j
    python3 -c "import json, sys; j = json.load(open(sys.argv[1])); print(round($2))" "$state/$1.json"
}
drawn() { curl -s -H "Authorization: Bearer the-key-of-an-admin" "$url/metrics" | awk '/^qiao_completion_tokens_total/ {sum += $2} END {print sum + 0}'; }
is_flooded() { has '"waiting":[1-9][0-9]' "$(curl -s -H "Authorization: Bearer the-key-of-an-admin" "$url/admin/nodes")"; }
beside_flood() { # beside_flood KEY CONCURRENCY: what it has of what the flood has meanwhile, in percent
    local before after own flood
    "$bin/qiao-load" --url "$url" --key the-key-that-floods --concurrency 40 --duration 600 --no-stream --prompt-tokens 8-8 \
        --max-tokens 16-16 --seed $RANDOM --json "$state/the-key-that-floods.json" >/dev/null 2>"$state/the-key-that-floods.err" &
    flood=$!
    check "the flood is there" eventually 60 is_flooded >&2
    before=$(drawn)
    load "$1" "$2" 5
    after=$(drawn)
    own=$(figure "$1" "j['tokens']['completion']")
    kill -INT $flood
    wait $flood || true # it says when some failed
    echo $((100 * own / (after - before - own)))
}

share=$(beside_flood the-key-of-a-few 8)
check "who asks for 8 at once has as much as who asks for 40: $share %" test "$share" -ge 75 -a "$share" -le 130
share=$(beside_flood the-key-of-weight 12)
check "with a weight of 3 it has three times as much: $share %" test "$share" -ge 200 -a "$share" -le 400
beside_flood the-key-in-a-hurry 1 >/dev/null
flood=$(figure the-key-that-floods "j['whole_answer_ms']['p50']")
hurry=$(figure the-key-in-a-hurry "j['whole_answer_ms']['p90']")
check "who is in a hurry waits for a place, not for the flood: $hurry ms, not $flood" test "$hurry" -le $((flood / 4))

kill -TERM "$(pid_of node-1)"
check "the node ends" eventually 60 gone "$(pid_of node-1)"
node 40
check "ready with a small room" eventually 60 serves
beside_flood the-key-of-a-few 3 >/dev/null
refused=$(figure the-key-that-floods "j['requests']['failed']")
failed=$(figure the-key-of-a-few "j['requests']['failed']")
check "a flood of 40 beyond its part of 40 places is refused ($refused times)" test "$refused" -gt 0
check "and nobody else" test "$failed" = 0
