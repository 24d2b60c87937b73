#!/usr/bin/env bash
# deploy/local: starts, answers in both languages, says what is wrong, stops and leaves nothing behind.
. "$(dirname "$0")/lib.sh"
says() { has "$1" "$output"; }

cluster --nodes 2 --schedulers 2
check "two answers and the way to go on were printed" grep -q "^ready: $url" "$state/start.log"
check "one answer is Chinese" grep -qP '^[^>].*\p{Han}' "$state/start.log"
for name in redis scheduler-1 scheduler-2 node-1 node-2; do
    check "$name has a pid file and runs" kill -0 "$(pid_of $name)"
done
pids=$(cat "$state"/run/*.pid)

output=$("$root/deploy/local" --state "$state" --port "$port" 2>&1 || true)
check "a second start in the same place is refused" says "runs in"
other=$(mktemp -d /tmp/qiao-system-XXXXXX) first=$port
free_port
free=$port port=$first
output=$("$root/deploy/local" --detach --state "$other" --port "$port" 2>&1 || true)
check "a taken port is named" says "port $port is taken"
output=$("$root/deploy/local" --detach --state "$other" --port $free --model /nowhere.gguf 2>&1 || true)
check "a missing model is named" says "/nowhere.gguf"
head -c 5000 "$root/models/assistant/qiao-mini.gguf" >"$other/cut.gguf"
output=$("$root/deploy/local" --detach --state "$other" --port "$free" --model "$other/cut.gguf" 2>&1 || true)
check "a cut model is refused with the field" says "gguf:"
check "nothing was left running by a start that failed" bash -c "! ls $other/run/*.pid 2>/dev/null"
mkdir -p "$other/stale/run"
sleep 60 &
stranger=$!
echo $stranger >"$other/stale/run/node-1.pid" # as after a reboot: the number is another program's now
"$root/deploy/local" stop --state "$other/stale"
check "a stranger under a stale number is left alone" kill -0 $stranger
kill $stranger
output=$("$root/deploy/local" --detach --state "$other" --port 08080 2>&1 || true)
check "a number with a leading zero is refused" says "'08080' is not right"
rm -rf "$other"

check "the second scheduler answers as well" "$bin/qiaoctl" --url "http://127.0.0.1:$((port + 1))" chat --max-tokens 4 hello
"$root/deploy/local" stop --state "$state"
all_gone() { local pid; for pid in $pids; do gone "$pid" || return 1; done; }
check "every process has ended" eventually 60 all_gone
check "no pid file is left" bash -c "! ls $state/run/*.pid 2>/dev/null"
