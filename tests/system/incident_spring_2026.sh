#!/usr/bin/env bash
# Spring 2026: a feature went live in a region before its approval, and was pulled the same day. Here each path that could do it is tried on real
# processes, of a governed cluster whose assistant in `cn` was approved once, and is retired: commands out of order, records that are forged, old
# records and an old Redis put back, another model, filings of another time, a policy that nobody signed, a scheduler without a policy, a node
# that is spoken to directly. None of them gets an answer.
. "$(dirname "$0")/lib.sh"
cluster --nodes 1 --schedulers 2 --governed cn
second=http://127.0.0.1:$((port + 1))
redis() { redis-cli -p $((port + 200)) "$@"; }
gate() { "$bin/qiaoctl" --url "$url" --region cn --feature assistant gate "$@" >"$state/gate.txt" 2>&1; }
soon() { eventually 60 gate "$@"; } # a scheduler may not have heard of the step before yet
heard() { # both schedulers act on the latest change
    local epoch
    epoch=$(redis GET 'qiao:{gate}:epoch')
    has "\"epoch\":$epoch," "$(curl -s "$url/admin/gate")" && has "\"epoch\":$epoch," "$(curl -s "$second/admin/gate")"
}
code() { # code [URL [MODEL]]: what a chat meets
    curl -s --max-time 120 "${1:-$url}/v1/chat/completions" -H 'X-Qiao-Region: cn' -H 'Accept-Language: en' \
        -d "{\"messages\":[{\"role\":\"user\",\"content\":\"Hello\"}],\"max_tokens\":8${2:+,\"model\":\"$2\"}}" |
        python3 -c 'import json,sys; a=json.load(sys.stdin); print(a.get("error", {}).get("code", "served"))'
}
is() { [ "$(code "$2")" = "$1" ]; }
both() { eventually 60 is "$1" "$url" && eventually 60 is "$1" "$second"; }
never() { # never SECONDS: in that time nobody is served at either scheduler
    local until=$((SECONDS + $1))
    while ((SECONDS < until)); do
        [ "$(code "$url")" != served ] && [ "$(code "$second")" != served ] || return 1
        sleep 0.1
    done
}
refused() { ! "$@"; }
put_record() { # put_record TEXT: into Redis by hand, with a new epoch, so that schedulers look
    redis HSET 'qiao:{gate}:records' cn/assistant "$1" >/dev/null
    redis INCR 'qiao:{gate}:epoch' >/dev/null
    check "both schedulers have looked" eventually 60 heard
}


check "what was approved is served" both served
approved=$(redis HGET 'qiao:{gate}:records' cn/assistant)
redis SAVE >/dev/null
cp "$state/redis/dump.rdb" "$state/approved.rdb"
check "it is suspended" gate suspend
check "and suspended it is not" both suspended
suspended=$(redis HGET 'qiao:{gate}:records' cn/assistant)

# --- the record of before its suspension
put_record "$approved"
check "the approved record, put back, opens nothing" never 2
put_record "$suspended"
check "with its own record it is what it was" both suspended
soon retire
check "and retired it is not approved" both region_not_approved
retired=$(redis HGET 'qiao:{gate}:records' cn/assistant)
put_record "$approved"
check "nor does it open what is retired" never 1
put_record "$retired"

# --- commands out of order
for verb in "roll 100" live pause submit; do check "what is retired is not opened by '$verb'" refused gate $verb; done
soon draft --models qiao-mini-assistant
check "a draft opens nothing" both pending
for verb in "roll 100" live pause; do check "a draft is not opened by '$verb'" refused gate $verb; done
soon submit
for verb in "roll 100" live pause; do check "what waits is not opened by '$verb'" refused gate $verb; done

# --- filings of another time
evidence() { # evidence TYPE FROM UNTIL, in seconds
    curl -sf -o /dev/null "$url/admin/gate/evidence" -d "{\"region\":\"cn\",\"feature\":\"assistant\",\"type\":\"$1\",\"reference\":\"demo\",
        \"sha256\":\"$(printf '%064d' 7)\",\"from\":$2000,\"until\":$3000}"
}
now=$(date +%s)
for type in algorithm_filing security_assessment; do soon evidence "$state/$type.txt" --type $type --reference demo; done
check "without its filing nothing is signed" refused gate approve --sign-key "$state/keys/ann.key"
check "both schedulers have heard of it" eventually 60 heard
try_filing() { # try_filing FROM UNTIL: in whatever way it is refused, it opens nothing
    evidence generative_ai_filing "$1" "$2" || return 0
    eventually 60 heard
    gate approve --sign-key "$state/keys/ann.key" && gate approve --sign-key "$state/keys/bo.key" && gate roll 100
    never 1
}
check "a filing that begins tomorrow opens nothing today" try_filing $((now + 86400)) $((now + 200000))
check "a filing that ended yesterday opens nothing" try_filing $((now - 200000)) $((now - 86400))

# --- one key of two, a stranger's, and a record that says that it is live
gate suspend || true # where a filing of another time was let through up to here
gate submit || true
soon evidence "$state/generative_ai_filing.txt" --type generative_ai_filing --reference demo
"$bin/qiaoctl" policy keygen mallory --out "$state/keys" >/dev/null
check "a stranger's signature is none" refused gate approve --sign-key "$state/keys/mallory.key"
soon approve --sign-key "$state/keys/ann.key"
check "one key of two opens nothing" refused gate live
check "and nobody is served" never 1
pending=$(redis HGET 'qiao:{gate}:records' cn/assistant)
for state_name in live rolling approved; do
    put_record "${pending/\"pending\"/\"$state_name\"}"
    check "a record that says '$state_name' opens nothing" never 1
done
put_record "$pending"

# --- a policy that nobody signed
cp "$state/policy/cn.json" "$state/cn.json"
sed -i 's/"gated": true/"gated": false/; s/"serial": 1/"serial": 2/' "$state/policy/cn.json"
check "a policy that nobody signed is refused" refused "$bin/qiaoctl" --url "$url" policy reload
check "and opens nothing" never 3
cp "$state/keys/ann.key" "$state/keys/other.key"
"$bin/qiaoctl" --url "$url" --sign-key "$state/keys/other.key" policy sign "$state/policy/cn.json" >/dev/null
check "nor does one that an approver signed, whose key is for approvals" refused "$bin/qiaoctl" --url "$url" policy reload
cp "$state/cn.json" "$state/policy/cn.json"
"$bin/qiaoctl" --url "$url" --sign-key "$state/keys/legal.key" policy sign "$state/policy/cn.json" >/dev/null
check "the signed one is in force as before" eventually 60 "$bin/qiaoctl" --url "$url" policy reload

# --- around the schedulers that know the gate
listens() { # does the process listen on a port?
    local inodes
    inodes=$(find "/proc/$1/fd" -lname 'socket:*' -printf '%l\n' 2>/dev/null | tr -dc '0-9\n')
    grep -qxF "$inodes" <(awk '$4 == "0A" {print $10}' "/proc/$1/net/tcp" "/proc/$1/net/tcp6" 2>/dev/null)
}
check "a scheduler listens" listens "$(pid_of scheduler-1)"
check "a node listens on nothing: there is no door but the schedulers'" refused listens "$(pid_of node-1)"
third=http://127.0.0.1:$((port + 2))
setsid "$bin/qiao-scheduler" --listen "127.0.0.1:$((port + 2))" --listen-nodes "tcp://127.0.0.1:$((port + 102))" --redis-port $((port + 200)) \
    --session-key "$state/session.key" >"$state/log/scheduler-3.log" 2>&1 </dev/null &
echo $! >"$state/run/scheduler-3.pid"
check "a scheduler without a policy finds the node" eventually 60 ready "$third"
check "and the node does nothing for it: it knows a newer epoch" test "$(code "$third")" = gate_unreachable
kill -TERM "$(pid_of scheduler-3)"

# --- another model in the approved one's place
soon approve --sign-key "$state/keys/bo.key"
soon roll 100
soon live
check "approved by both keys, on its evidence, it is served" both served
setsid "$bin/qiao-node" --engine echo --name swapped --region cn --scheduler "tcp://127.0.0.1:$((port + 100))" >"$state/log/node-swapped.log" 2>&1 </dev/null &
echo $! >"$state/run/node-swapped.pid"
echo_model() { curl -s "$url/v1/models" | python3 -c 'import json,sys; print(next((m["id"] for m in json.load(sys.stdin)["data"] if "qiao-mini" not in m["id"]), ""))'; }
has_other() { [ -n "$(echo_model)" ]; }
check "another model is there" eventually 60 has_other
check "and is not served: it was not approved" test "$(code "$url" "$(echo_model)")" = model_not_approved

# --- an old Redis, put in the place of the one that knows better
check "it is suspended" gate suspend
check "suspended again" both suspended
slay redis
cp "$state/approved.rdb" "$state/redis/dump.rdb"
setsid redis-server --port $((port + 200)) --bind 127.0.0.1 --dir "$state/redis" --save '' --appendonly no >>"$state/log/redis.log" 2>&1 </dev/null &
echo $! >"$state/run/redis.pid"
is_back() { has PONG "$(redis PING 2>/dev/null)"; }
check "an old Redis is there" eventually 60 is_back
check "whose record says that it is live" has '"live"' "$(redis HGET 'qiao:{gate}:records' cn/assistant)"
for at in "$url" "$second"; do check "the scheduler at $at has found it" eventually 60 ready "$at"; done
check "and opens nothing" never 4
