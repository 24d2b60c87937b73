#!/usr/bin/env bash
# Events over two schedulers: nothing is kept without consent, each event once however often and wherever it is sent, what is wrong is told
# event by event, and what one scheduler was told holds at the other at once.
source "$(dirname "$0")/lib.sh"
cluster --nodes 1 --schedulers 2
second=http://127.0.0.1:$((port + 1))

call() { # call METHOD URL USER BODY: the status; the answer is in $state/body
    curl -s -m 20 -o "$state/body" -w '%{http_code}' -X "$1" "$2" -H "X-Qiao-User: $3" --data-binary "$4"
}
answers() { # answers STATUS PATTERN METHOD URL USER BODY
    local status=$1 pattern=$2 got
    shift 2
    got=$(call "$@")
    [ "$got" = "$status" ] && grep -Eq "$pattern" "$state/body" || {
        echo "$got $(cat "$state/body")" >&2
        return 1
    }
}
event() { # event ID ITEM [TIME]
    printf '{"id":"%s","type":"view","item":"%s"%s}' "$1" "$2" "${3:+,\"time\":$3}"
}
redis() { redis-cli -p $((port + 200)) "$@"; }
kept() { # kept COUNT: events of all users together
    local sum=0 name
    for name in $(redis keys '*:events'); do sum=$((sum + $(redis llen "$name"))); done
    [ $sum = "$1" ]
}
knows_items() { has '"count":2[,}]' "$(curl -s "$1/v1/items")"; }

check "the other scheduler is ready" eventually 60 ready "$second"
check "the catalogue is written" answers 200 '"stored":2' PUT "$url/v1/items" "" '{"id":"p1"}
{"id":"p2"}'
check "and known at the other scheduler" eventually 60 knows_items "$second"

# Consent: none until it is given, and it holds everywhere from its answer on.
check "without consent an event is refused" answers 403 "consent 'history'" POST "$url/v1/events" ann "$(event a p1)"
check "and nothing is kept" kept 0
check "the consent is given" answers 200 '"history":true' PUT "$url/v1/me/consents" ann '{"consents":{"history":true}}'
check "it stands at the other scheduler" answers 200 '"history":true' GET "$second/v1/me/consents" ann ''
check "where the event is stored" answers 200 '"stored":1,"repeated":0' POST "$second/v1/events" ann "$(event a p1)"
check "another user has agreed to nothing" answers 403 "consent 'history'" POST "$second/v1/events" bob "$(event a p1)"

# Once each, by id, in one call, in a later one, and by the other scheduler.
twice="{\"events\":[$(event b p2),$(event b p2),$(event a p1)]}"
check "repeated ids are stored once" answers 200 '"stored":1,"repeated":2' POST "$url/v1/events" ann "$twice"
check "at the other scheduler, too" answers 200 '"stored":0,"repeated":3' POST "$second/v1/events" ann "$twice"
for turn in $(seq 20); do # both at the same time
    curl -s -m 20 "$url/v1/events" -H 'X-Qiao-User: ann' --data-binary "$(event "r$turn" p1)" >>"$state/raced" &
    curl -s -m 20 "$second/v1/events" -H 'X-Qiao-User: ann' --data-binary "$(event "r$turn" p1)" >>"$state/raced"
    wait $!
done
check "of two at the same time one is stored" test "$(grep -o '"stored":1' "$state/raced" | wc -l) $(grep -o '"repeated":1' "$state/raced" | wc -l)" = "20 20"
check "so many are kept" kept 22

check "the user sees them at either" answers 200 '^\{"object":"list","data":\[\{"type":"view","item":"p1","time":' GET "$second/v1/me/events" ann ''
check "all of them" test "$(grep -o '"type":"view"' "$state/body" | wc -l)" = 22
check "and nobody else does" answers 403 "consent 'history'" GET "$url/v1/me/events" bob ''

# What is wrong is told by its place, and stops nothing else.
mixed="{\"events\":[$(event c p1),$(event d nowhere),$(event e p1 1000),$(event f p1 $(($(date +%s) + 3600))),$(event g p1 '"soon"')]}"
check "the right one of five is stored" answers 207 '"stored":1' POST "$url/v1/events" ann "$mixed"
check "the others are listed" test "$(grep -o '"index":[0-9]' "$state/body" | tr -dc '0-9')" = 1234
check "an unknown item by its reason" grep -q 'is not in the catalogue' "$state/body"
check "an event that is wrong alone is 400" answers 400 'is not in the catalogue' POST "$second/v1/events" ann "$(event d nowhere)"
check "so is a time that is none" answers 400 'time' POST "$second/v1/events" ann "$(event g p1 '"soon"')"
check "so many are kept now" kept 23

# The switch stands above consent and deletes nothing; who withdraws deletes.
check "personalization is off" answers 200 '"enabled":false' PUT "$second/v1/me/personalization" ann '{"enabled":false}'
check "and events are refused" answers 403 'personalization' POST "$url/v1/events" ann "$(event h p1)"
check "but kept" kept 23
check "it is on again" answers 200 '"enabled":true' PUT "$url/v1/me/personalization" ann '{"enabled":true}'
check "and events are taken" answers 200 '"stored":1' POST "$second/v1/events" ann "$(event h p1)"
check "consent is withdrawn" answers 200 '"history":false' PUT "$second/v1/me/consents" ann '{"consents":{"history":false}}'
check "the events are gone" kept 0
check "the ids, too" test -z "$(redis keys '*:event_ids')"
check "and none is taken any more" answers 403 "consent 'history'" POST "$url/v1/events" ann "$(event i p1)"
check "nothing is kept" kept 0
check "and nothing shown" answers 403 'nothing was read' GET "$second/v1/me/events" ann ''
echo "events: ok"
