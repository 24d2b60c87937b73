#!/usr/bin/env bash
# A second party: its users are linked by its signed tokens, its feeds are taken by their signed manifests, once each and with the users'
# consent alone; an import that is cut goes on where it was; what was taken can be forgotten, and goes with the consent.
source "$(dirname "$0")/lib.sh"
mkdir -p "$state"
for name in pay other; do openssl genpkey -algorithm ed25519 -out "$state/$name.pem" 2>/dev/null; done
public() { openssl pkey -in "$state/$1.pem" -pubout -outform DER | base64 -w 0; }
printf '[{"source":"pay","public_key":"%s"},{"source":"club","public_key":"%s"}]' "$(public pay)" "$(public other)" >"$state/partners"
export QIAO_PARTNERS=$state/partners
cluster --nodes 1 --schedulers 2
second=http://127.0.0.1:$((port + 1))

redis() { redis-cli -p $((port + 200)) "$@"; }
call() { # call METHOD URL USER BODY: the status; the answer is in $state/body
    curl -s -m 20 -o "$state/body" -w '%{http_code}' -X "$1" "$2" ${3:+-H "X-Qiao-User: $3"} --data-binary "$4"
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
sign() { openssl pkeyutl -sign -rawin -inkey "$state/$1.pem" -in "$2" -out "$2.sig"; }
url64() { base64 -w 0 | tr '+/' '-_' | tr -d '='; }
token() { # token KEY SOURCE PSEUDONYM SECONDS ID: a JWT
    printf '%s.%s' "$(printf '{"alg":"EdDSA","typ":"JWT"}' | url64)" \
        "$(printf '{"iss":"%s","aud":"local","sub":"%s","exp":%d,"jti":"%s"}' "$2" "$3" $(($(date +%s) + $4)) "$5" | url64)" >"$state/token"
    sign "$1" "$state/token"
    printf '{"token":"%s.%s"}' "$(cat "$state/token")" "$(url64 <"$state/token.sig")"
}
at() { date -u -d "@$1" +%Y-%m-%dT%H:%M:%SZ; }
now=$(date +%s)
manifest() { # manifest FILE NUMBER [KEY [SOURCE]]: sign the file
    printf '{"format":"qiao-feed-1","source":"%s","number":%d,"file":"%s","lines":%d,"bytes":%d,"sha256":"%s","created":"%s","from":"%s","until":"%s"}' \
        "${4:-pay}" "$2" "$(basename "$1")" "$(wc -l <"$1")" "$(stat -c %s "$1")" "$(sha256sum "$1" | cut -d' ' -f1)" \
        "$(at "$now")" "$(at $((now - 90000)))" "$(at "$now")" >"$1.manifest"
    sign "${3:-pay}" "$1.manifest"
}
ctl() { # ctl STATUS PATTERN ARGUMENTS…: what it says is in $state/said
    local status=$1 pattern=$2 got=0
    shift 2
    "$bin/qiaoctl" --url "$url" "$@" >"$state/said" 2>&1 || got=$?
    [ $got = "$status" ] && grep -Eq -- "$pattern" "$state/said" || {
        echo "$got $(cat "$state/said")" >&2
        return 1
    }
}
kept() { [ "$(redis --raw keys "*:events:$1" | grep -c .)" = "$2" ]; } # histories of the source
seen() { # seen USER COUNT: events in the user's history
    curl -s "$second/v1/me/events" -H "X-Qiao-User: $1" | { grep -o '"type"' || true; } | wc -l | grep -qx "$2"
}

check "the other scheduler is ready" eventually 60 ready "$second"

# Links: the partner's word alone.
for user in ann bob cid; do call PUT "$url/v1/me/consents" $user '{"consents":{"history":true,"recommendations":true}}' >/dev/null; done
check "another's signature links nobody" answers 403 'signature is not one of partner' POST "$url/v1/me/links" ann "$(token other pay p-ann 300 token-01)"
check "nor does a token that is over" answers 403 'the token is over' POST "$url/v1/me/links" ann "$(token pay pay p-ann -60 token-02)"
check "nor one for ever" answers 403 'must be over within' POST "$url/v1/me/links" ann "$(token pay pay p-ann 9000 token-03)"
check "nor one of a partner that nobody knows" answers 404 'has no partner' POST "$url/v1/me/links" ann "$(token pay bank p-ann 300 token-04)"
check "nor what is no token" answers 400 'three parts' POST "$url/v1/me/links" ann '{"token":"p-ann"}'
one=$(token pay pay p-ann 300 token-05)
check "the partner's token does" answers 200 '"source":"pay","linked":true' POST "$url/v1/me/links" ann "$one"
check "again for the same user" answers 200 '"linked":true' POST "$second/v1/me/links" ann "$one"
check "and for no other" answers 409 'used by somebody else' POST "$second/v1/me/links" eve "$one"
check "it is a consent" answers 200 '"partner:pay":true' GET "$url/v1/me/consents" ann ''
check "another user is linked" answers 200 '"linked":true' POST "$second/v1/me/links" bob "$(token pay pay p-bob 300 token-06)"
check "the same name at another partner is another's" answers 200 '"linked":true' POST "$url/v1/me/links" cid "$(token other club p-ann 300 token-07)"

# A feed: signed, whole, once.
feed=$state/pay-1.ndjson
for i in $(seq 1500); do
    printf '{"id":"e%d","user":"p-%s","type":"purchase","item":"p%d","time":%d}\n' $i "$([ $((i % 3)) = 0 ] && echo ann || echo nobody)" $((i % 7)) $((now - 2000 + i))
done >"$feed"
sed -i '700s/.*/{"id":"x","user":"p-ann","type":"stare"}/; 1200s/.*/not JSON/; 1201s/"time":[0-9]*/"time":'$((now - 100000))'/' "$feed"
manifest "$feed" 7 other
check "a feed that another has signed is refused" ctl 1 'signature is not one of partner' events import "$feed" --source pay
manifest "$feed" 7
check "so is one for another source" ctl 1 'not the one of --source' events import "$feed" --source club
cp "$feed" "$feed.good"
sed -i '3s/purchase/cart    /' "$feed"
check "and one that was changed" ctl 1 'SHA-256' events import "$feed" --source pay
cp "$feed.good" "$feed"
check "no event came of it" kept pay 0
check "the feed is taken" ctl 0 'feed 7 of pay is complete: 1500 lines, 499 stored, 0 repeated, 998 of nobody here, 0 without consent, 3 wrong' \
    events import "$feed" --source pay
check "with each wrong line by its number" grep -q 'pay-1.ndjson:1200: .*JSON' "$state/said"
check "and what would be right" grep -q "pay-1.ndjson:1201: time is not between" "$state/said"
check "and the other one" grep -q "pay-1.ndjson:700: .*time" "$state/said"
check "the user sees them among the own" eventually 60 seen ann 200
check "who agreed to nothing has none" seen bob 0
check "nor who has the name elsewhere" seen cid 0
check "Redis cannot read them" test "$(redis --raw lindex "$(redis --raw keys '*:events:pay')" 0 | head -c 4)" = QSV1
check "popular is what was bought" test "$(redis zcard 'qiao:{c:items:local}:popular:*')" = 7
check "once more is no harm" ctl 0 'taken before' events import "$feed" --source pay
check "the number is not another file's" bash -c "cp '$feed' '$state/pay-2.ndjson'; echo '{}' >>'$state/pay-2.ndjson'"
manifest "$state/pay-2.ndjson" 7
check "which is refused" ctl 1 'another file was feed 7' events import "$state/pay-2.ndjson" --source pay
manifest "$state/pay-2.ndjson" 6
check "as an old feed is" ctl 1 'feed 6 is older than 7' events import "$state/pay-2.ndjson" --source pay

# A feed that is cut, at the other scheduler, and goes on.
feed=$state/pay-8.ndjson
seq 200000 | awk -v now="$now" '{ printf "{\"user\":\"p-bob\",\"type\":\"view\",\"item\":\"p%d\",\"time\":%d}\n", $1 % 7, now - 70000 + int($1 / 4) }' >"$feed"
manifest "$feed" 8
"$bin/qiaoctl" --url "$url" events import "$feed" --source pay >"$state/cut" 2>&1 &
import=$!
done_lines() { redis --raw hget 'qiao:{c:items:local}:feed:pay' done; }
begun() { [ "$(redis --raw hget 'qiao:{c:items:local}:feed:pay' number)" = 8 ] && [ "$(done_lines)" -gt 2000 ]; }
check "a large feed is under way" eventually 60 begun
kill -9 $import
wait $import 2>/dev/null || true
idle() { has '^qiao_in_flight 0' "$(curl -s "$url/metrics" | grep in_flight)"; }
check "what it had sent is taken" eventually 60 idle
cut=$(done_lines)
check "and cut before its end" test "$cut" -lt 200000
cp "$state/pay-2.ndjson" "$state/pay-9.ndjson"
manifest "$state/pay-9.ndjson" 9
check "the next one has to wait for it" ctl 1 'feed 8 is not complete' events import "$state/pay-9.ndjson" --source pay
url=$second
check "it goes on elsewhere" ctl 0 'feed 8 of pay is complete: 200000 lines, 200000 stored, 0 repeated' events import "$feed" --source pay
check "where it was" grep -q "goes on after line [1-9]" "$state/said"
check "and nothing twice" seen bob 200

# Who has personalization off gets nothing of a feed; who withdraws the consent keeps nothing of it.
call PUT "$url/v1/me/personalization" ann '{"enabled":false}' >/dev/null
check "the next feed is taken" ctl 0 '0 stored, 0 repeated, 998 of nobody here, 499 without consent, 4 wrong' events import "$state/pay-9.ndjson" --source pay
call PUT "$url/v1/me/personalization" ann '{"enabled":true}' >/dev/null
check "a user cuts the link" answers 200 '"linked":false' DELETE "$url/v1/me/links/pay" ann ''
check "and the events go" seen ann 0
check "with their key" test "$(redis --raw keys '*:event_key:pay' | grep -c .)" = 1
check "the others' are forgotten by order" ctl 0 'deleted: 1 histories' events forget --source pay
check "so that none is left" kept pay 0
check "and the consent stands" answers 200 '"partner:pay":true' GET "$url/v1/me/consents" bob ''
echo "partners: ok"
