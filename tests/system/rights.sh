#!/usr/bin/env bash
# A user's rights over two schedulers: take along, look at interests and take them away, be forgotten; what is erased is not served again,
# not by what was in the air, and recommendations are a stranger's, byte for byte.
source "$(dirname "$0")/lib.sh"

cluster --nodes 1 --schedulers 2
second=http://127.0.0.1:$((port + 1))
redis-cli -p $((port + 200)) config set save "" >"$state/redis.said" # a snapshot is written when the test says so
launch node-8 "$bin/qiao-node" --model "$root/models/recommender/qiao-shop.gguf" --name node-8 --threads 1 \
    --scheduler "tcp://127.0.0.1:$((port + 100)),tcp://127.0.0.1:$((port + 101))"
knows() { has '"basis":"session"' "$(curl -s -m 10 "$1/v1/recommendations" -d '{"model":"qiao-shop","session":["phone-bamboo-1"]}')"; }
check "the recommender is there" eventually 60 knows "$url"
check "at the other scheduler, too" eventually 60 knows "$second"
ENDLESS=$(endless) python3 "$root/tests/system/rights.py" "$url" "$second" $((port + 200)) "$root/models/recommender/items.ndjson"
check "nothing of what was said stands in a log" test "$(cat "$state"/log/*.log | grep -c 'quince-and-marble' || true)" = 0

# An operator asks on a user's behalf.
ctl() { "$bin/qiaoctl" --url "$url" "$@"; }
curl -s -o /dev/null -X PUT "$url/v1/me/consents" -H 'X-Qiao-User: eve' -d '{"consents":{"history":true}}'
check "an operator exports a user's data" has '"purpose":"history"' "$(ctl --user eve me export)"
check "not without saying whose" test "$(ctl me export >/dev/null 2>&1; echo $?)$(ctl me erase >/dev/null 2>&1; echo $?)" = 22
ctl --user eve --json me erase >"$state/receipt"
erasure=$(grep -o '"id":"[0-9a-f]*"' "$state/receipt" | cut -d'"' -f4)
check "and erases them" grep -q '"consents":1' "$state/receipt"
check "and sees how far that is" has '"service"' "$(ctl --user eve me erasure "$erasure")"
check "of this user alone" test "$(ctl --user dan me erasure "$erasure" >/dev/null 2>&1; echo $?)" = 1
