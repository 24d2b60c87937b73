#!/usr/bin/env bash
# Sessions over real processes: a scheduler that is killed in the middle of an append loses no turn and doubles none, the keys
# are rotated under a session, and a replicated turn is on the replica when it is answered.
. "$(dirname "$0")/lib.sh"
say() { # say URL SESSION TEXT: the status; the answer is in $state/body
    curl -s -m 20 -o "$state/body" -w '%{http_code}' "$1/v1/chat/completions" -H 'Content-Type: application/json' \
        -d "{\"session\":$2,\"messages\":[{\"role\":\"user\",\"content\":\"$3\"}],\"temperature\":0,\"max_tokens\":24}" || true
}
shown() { curl -s "$1/v1/sessions/$2"; }
again() { # again NAME URL: start a process of the cluster once more
    launch "$1" "${words[@]}"
    check "$1 is back" eventually 60 ready "$2"
}
words_of() { readarray -d '' -t words <"/proc/$(pid_of "$1")/cmdline"; }

QIAO_SESSION_WAIT_MS=5000 cluster --nodes 1 --schedulers 2 # a replica on a slow machine, too, has a turn by then
other=http://127.0.0.1:$((port + 1))
for at in "$url" "$other"; do check "$at is ready" eventually 60 ready "$at"; done

check "a session goes on at another scheduler" test "$(say "$url" '"both"' 你好)$(say "$other" '{"id":"both","version":1}' 再见)" = 200200
check "with the next version" grep -q '"session":{"id":"both","version":2}' "$state/body"

words_of scheduler-1
turns=12 repeated=0
told() { [ "$(say "$other" "{\"id\":\"killed\",\"turn_id\":\"t$1\"}" "turn $1")" = 200 ]; }
for turn in $(seq $turns); do
    say "$url" "{\"id\":\"killed\",\"turn_id\":\"t$turn\"}" "turn $turn" >"$state/first" &
    asker=$!
    sleep "0.$(printf %03d $((RANDOM % 60)))"
    slay scheduler-1
    wait $asker || true
    check "turn $turn is answered after its scheduler was killed" eventually 60 told $turn
    grep -q '"repeated":true' "$state/body" && repeated=$((repeated + 1))
    again scheduler-1 "$url"
done
echo "   ($repeated of $turns turns had been stored before their scheduler was killed)"
check "each turn made one version" test "$(shown "$url" killed | grep -o '"version":[0-9]*' | head -1)" = "\"version\":$turns"
check "and stands there once" test "$(shown "$url" killed | grep -o '"content":"turn [0-9]*"' | sort -u | wc -l) $(shown "$url" killed | grep -o '"role":"user"' | wc -l)" = "$turns $turns"

# Rotation, step by step: known everywhere, then used everywhere, then the older one is dropped.
key=$state/session.key
newer="key 2 $(printf '%064d' 7)"
rotate() { # rotate LINES…: both schedulers with another file
    printf '%s\n' "$@" >"$key"
    for name in scheduler-1 scheduler-2; do
        words_of $name
        slay $name
        [ $name = scheduler-1 ] && again $name "$url" || again $name "$other"
    done
}
head=$(grep -v '^key ' "$key") old=$(grep '^key ' "$key")
chmod 600 "$key"
rotate "$head" "$old" "$newer"
rotate "$head" "$newer" "$old"
check "a session outlives the rotation of its key" test "$(say "$url" '"both"' 你好)" = 200
rotate "$head" "$newer"
check "what was written since is wrapped by the newer" test "$(say "$other" '{"id":"both","version":3}' 你好)" = 200
check "what was not is an error" test "$(say "$url" '"killed"' 你好)" = 500
check "that names the key that is missing" grep -q 'master key 1, which is not in the session key file' "$state/body"

check "without a replica a replicated turn is stored, and that is said" \
    test "$(say "$url" '{"id":"copied","turn_id":"a","durability":"replicated"}' 你好)" = 503
check "with its code and version" grep -q '"code":"not_replicated","session":{"id":"copied","version":1}' "$state/body"
mkdir "$state/replica"
redis-server --port 0 --unixsocket "$state/replica/socket" --dir "$state/replica" --save "" \
    --replicaof 127.0.0.1 $((port + 200)) >"$state/log/replica.log" 2>&1 </dev/null &
replica=$!
echo $replica >"$state/run/replica.pid"
disown
# Until a replica has acknowledged what came after its first copy, Redis sends it nothing: what a client writes is the sign that it does.
streams() { [ "$(printf 'SET probe 1\nWAIT 1 100\n' | redis-cli -p $((port + 200)) | tail -n 1)" = 1 ]; }
check "the replica gets what is written" eventually 60 streams
copied() { [ "$(say "$other" '{"id":"copied","turn_id":"a","durability":"replicated"}' 你好)" = 200 ]; }
check "the same turn is confirmed when there is one" eventually 60 copied
check "and was not answered twice" grep -q '"version":1,"repeated":true' "$state/body"
for turn in $(seq 2 20); do
    code=$(say "$url" "{\"id\":\"copied\",\"version\":$((turn - 1)),\"durability\":\"replicated\"}" "$turn")
    name=$(redis-cli -s "$state/replica/socket" keys '*:session:copied')
    seen="$code, version $(redis-cli -s "$state/replica/socket" hget "$name" v)"
    [ "$seen" = "200, version $turn" ] || check "turn $turn is answered ($(cat "$state/body")) and on the replica: $seen" false
done
echo "ok: 19 turns were on the replica when they were answered"
kill -9 $replica
