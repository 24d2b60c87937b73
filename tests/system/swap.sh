#!/usr/bin/env bash
# A newer model goes live under load and no request is lost: a recommender whose items have other names, on its only node; a chat model
# on two nodes and two schedulers. A file that is none changes nothing.
source "$(dirname "$0")/lib.sh"
swap=$root/tests/system/swap.py
cp "$root/models/assistant/qiao-mini.gguf" "$state/chat.gguf"
cluster --nodes 1 --schedulers 2 --model "$state/chat.gguf"
second=http://127.0.0.1:$((port + 1))
node() { # node NAME FILE [FLAGS…]
    local name=$1 file=$2
    shift 2
    launch "$name" "$bin/qiao-node" --model "$file" --name "$name" --threads 1 "$@" \
        --scheduler "tcp://127.0.0.1:$((port + 100)),tcp://127.0.0.1:$((port + 101))"
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
first() { # first URL ITEM: it is the first that is recommended
    has "\"item\":\"$2\"" "$(curl -s -m 20 "$1/v1/recommendations" -d '{"model":"qiao-shop","session":["phone-bamboo-5"],"count":1}')"
}
nodes_of() { curl -s "$1/admin/nodes" | { grep -o '"name":"node-' || true; } | wc -l; }
serves() { has '"qiao-shop"' "$(curl -s -m 20 "$1/ready")"; }
has_nodes() { [ "$(nodes_of "$1")" = "$2" ]; }

cp "$root/models/recommender/qiao-shop.gguf" "$state/shop.gguf"
node node-9 "$state/shop.gguf"
node node-2 "$state/chat.gguf"
check "three nodes are there" eventually 60 has_nodes "$url" 3
check "at the other scheduler, too" eventually 60 has_nodes "$second" 3
check "the recommender is there" eventually 60 serves "$url"
check "and at the other scheduler" eventually 60 serves "$second"
old=$(curl -s "$url/v1/recommendations" -d '{"model":"qiao-shop","session":["phone-bamboo-5"],"count":1}' | grep -o '"item":"[^"]*' | cut -d'"' -f4)
new=${old:0:-1}X
python3 "$swap" change "$state/shop.gguf" "$state/new.gguf" "$old" "$new"

# Files that are none.
head -c 100000 "$state/new.gguf" >"$state/cut.gguf"
check "a file that was cut is refused" ctl 1 'past the end of the file' models load "$state/cut.gguf" --to "$state/shop.gguf"
echo hello >"$state/text.gguf"
check "as is what is no GGUF" ctl 1 'gguf' models load "$state/text.gguf" --to "$state/shop.gguf"
check "a node that is not there is named" ctl 1 'not all of these nodes' models load "$state/new.gguf" --to "$state/shop.gguf" --node node-77
check "nothing was copied" cmp "$state/shop.gguf" "$root/models/recommender/qiao-shop.gguf"

# The recommender's only node, under load.
python3 "$swap" ask "$url" "$state/asked1" &
asking=$!
python3 "$swap" ask "$second" "$state/asked2" &
asking="$asking $!"
for one in 1 2; do check "recommendations are asked for" eventually 60 test -e "$state/asked$one.begun"; done
check "a newer recommender is served" ctl 0 'node-9: serves qiao-shop' models load "$state/new.gguf" --to "$state/shop.gguf"
check "with what the file is" grep -Eq 'qiao-shop, sasrec, 955 items, .*digest [0-9a-f]{32}, text pack' "$state/said"
check "at once" first "$url" "$new"
check "at the other scheduler, too" eventually 60 first "$second" "$new"
wait $asking
for one in 1 2; do
    python3 - "$state/asked$one" "$old" "$new" <<'P'
import json, sys
told = json.load(open(sys.argv[1]))
firsts = told["firsts"]
assert not told["wrong"], told["wrong"]
assert set(firsts) == {sys.argv[2], sys.argv[3]}, firsts
assert min(firsts.values()) > 50, firsts
print(f"ok: no request is lost: {firsts}")
P
done
check "the old one is kept beside it" cmp "$state/shop.gguf.previous" "$root/models/recommender/qiao-shop.gguf"
check "and has left" eventually 60 has_nodes "$url" 3

# The chat model, on two nodes, while answers are streamed.
python3 "$swap" change "$state/chat.gguf" "$state/talk.gguf"
"$bin/qiao-load" --url "$url,$second" --concurrency 6 --duration 600 --prompt-tokens 16-64 --max-tokens 64-128 --retries 0 --json "$state/load.json" \
    >"$state/load" 2>&1 &
loading=$!
answered() { [ "$(curl -s "$url/metrics" "$second/metrics" | awk '/^qiao_requests_total.route="chat",code="200"/ {sum += $2} END {print sum + 0}')" -ge "$1" ]; }
check "answers are streamed" eventually 60 answered 50
check "a newer chat model is served by both" ctl 0 'node-2: serves' models load "$state/talk.gguf" --to "$state/chat.gguf"
check "by the other one, too" grep -q 'node-1: serves' "$state/said"
check "and more of them" eventually 60 answered $(($(curl -s "$url/metrics" "$second/metrics" | awk '/^qiao_requests_total.route="chat",code="200"/ {sum += $2} END {print sum + 0}') + 60))
kill -INT $loading
wait $loading || { cat "$state/load" >&2; exit 1; }
python3 - "$state/load.json" <<'P'
import json, sys
told = json.load(open(sys.argv[1]))
requests = told["requests"]
print(f"ok: no answer is lost: {requests['answered']} of {requests['started']}")
assert requests["failed"] == 0 and requests["answered"] > 100, told
P
is_current() { has '"current":true,"nodes":2,[^}]*'"$digest" "$(curl -s "$1/admin/status")"; }
digest=$(grep -o 'digest [0-9a-f]*' "$state/said" | cut -d' ' -f2)
check "it is the current one" eventually 60 is_current "$url"
check "at the other scheduler, too" eventually 60 is_current "$second"

# Another file while one is being loaded: the last one is served, after the others have left.
lines() { grep -c "$1" "$state/log/node-2.log" || true; }
served() { [ "$(lines node_ready)" = $(($(lines model_loaded) + 1)) ] && [ "$(lines model_loaded)" -gt "$1" ]; }
settled() { # settled SAME: once more, the node finds the file that it has; it looks at one after the other
    kill -HUP "$(pid_of node-2)"
    [ "$(lines model_same)" -gt "$1" ]
}
for pause in 0.01 0.03; do
    loaded=$(lines model_loaded) same=$(lines model_same)
    for file in first second; do
        cp "$state/talk.gguf" "$state/$file.gguf"
        mv "$state/$file.gguf" "$state/chat.gguf"
        kill -HUP "$(pid_of node-2)"
        [ $file = second ] || sleep $pause
    done
    check "the node has loaded what there was" eventually 60 settled "$same"
    check "no model that was loaded is left lying" eventually 60 served "$loaded"
done

# A file that a node does not read, and one that comes by itself.
cp "$state/text.gguf" "$state/bad.gguf"
mv "$state/bad.gguf" "$state/shop.gguf"
kill -HUP "$(pid_of node-9)"
check "the node says why it goes on with the old one" eventually 60 grep -q 'model_refused' "$state/log/node-9.log"
check "and does" first "$url" "$new"
cp "$root/models/recommender/qiao-shop.gguf" "$state/watched.gguf"
kill "$(pid_of node-9)"
check "the node ends" eventually 60 gone "$(pid_of node-9)"
node node-9 "$state/watched.gguf" --watch
check "it is back with the first one" eventually 60 first "$url" "$old"
cp "$state/new.gguf" "$state/next.gguf"
mv "$state/next.gguf" "$state/watched.gguf"
check "a node that watches swaps by itself" eventually 60 first "$url" "$new"
kill "$(pid_of node-9)"
check "and ends while the old one still leaves" eventually 60 gone "$(pid_of node-9)"
echo "swap: ok"
