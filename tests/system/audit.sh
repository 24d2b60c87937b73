#!/usr/bin/env bash
# The audit of two schedulers over one Redis: what was done is in the files, each record once, although schedulers are killed and Redis
# forgets; and whatever byte of a file is changed is found and named.
source "$(dirname "$0")/lib.sh"
mkdir "$state/redis"
free_port
redis=$((port + 200))
export QIAO_AUDIT_DIR=$state/audit QIAO_AUDIT_SEAL_SECONDS=600

start_redis() { launch redis redis-server --port "$redis" --bind 127.0.0.1 --dir "$state/redis" --save '' --appendonly no; }
start_scheduler() { # start_scheduler NUMBER
    launch "scheduler-$1" "$bin/qiao-scheduler" --listen "127.0.0.1:$((port + $1 - 1))" \
        --listen-nodes "tcp://127.0.0.1:$((port + 99 + $1))" --redis-port "$redis" --session-key "$state/session.key"
}
url=http://127.0.0.1:$port
second=http://127.0.0.1:$((port + 1))
up() { has '"redis":"up"' "$(curl -s -m 10 "$1/admin/status")"; }
away() { has '"redis":"away"' "$(curl -s -m 10 "$1/admin/status")"; }
ctl() { "$bin/qiaoctl" --url "$@"; }
fact() { curl -s -m 60 "$1/admin/audit" | grep -o "\"$2\":\"\?[0-9a-z]*" | sed 's/.*:"\?//'; }
written() { [ "$(fact "$1" waiting)" = 0 ]; }
consent() { curl -sf -m 60 -o /dev/null -X PUT "$1/v1/me/consents" -H "X-Qiao-User: $2" -d '{"consents":{"history":true,"search":false}}'; }

start_redis
start_scheduler 1
start_scheduler 2
check "the first scheduler is up" eventually 60 up "$url"
check "the second scheduler is up" eventually 60 up "$second"

for i in 1 2 3 4 5; do consent "$url" "somebody-$i"; done
ctl "$url" drain no-such-node >/dev/null 2>&1 || true
check "all is written" eventually 60 written "$url"
check "at both schedulers" eventually 60 written "$second"
check "an order to any scheduler seals" ctl "$second" audit seal
check "the files are as they were sealed" ctl "$url" audit verify "$state/audit"
ctl "$url" audit export "$state/audit" >"$state/records"
count() { grep -c "$1" "$state/records" || true; }
check "each decision is there once" test "$(count '"class":"CONSENT".*"path":"/v1/me/consents".*"subject":"+history -search"')" = 5
check "a refused order is there" test "$(count '"class":"ADMIN".*"path":"/admin/drain".*"status":"404"')" = 1
check "both schedulers have begun" test "$(count '"class":"START"')" = 2
check "nobody is named" test "$(count somebody)" = 0

for i in 1 2 3; do consent "$second" "somebody-$i"; done
check "the second scheduler's are written" eventually 60 written "$second"
chain=$(fact "$second" chain) records=$(fact "$second" records)
slay scheduler-2
# As if it had been silent for a minute.
redis-cli -p "$redis" HSET 'qiao:{audit}:chains' "$chain" "$records 1000" >/dev/null
check "sealed after the kill" eventually 60 ctl "$url" audit seal
lost="chain $chain has no END: what its scheduler noted after record $records may be missing"
check "a killed scheduler's chain shows where it ends" has "gap: $lost" "$(ctl "$url" audit verify "$state/audit")"

for i in 1 2 3; do consent "$url" "somebody-$i"; done
check "written before Redis ends" eventually 60 written "$url"
slay redis
check "Redis is away" eventually 60 away "$url"
ctl "$url" drain another-node >/dev/null 2>&1 || true # waits for Redis, as a record
start_redis
check "Redis is back, and empty" eventually 60 up "$url"
check "what it forgot is written again" eventually 60 written "$url"
check "sealed after Redis forgot" eventually 60 ctl "$url" audit seal
ctl "$url" audit export "$state/audit" >"$state/records" 2>"$state/gaps"
check "no record is missing, and none is there twice" test "$(count '"class":"CONSENT"')" = 11
check "but for the killed scheduler's there is no gap" test "$(wc -l <"$state/gaps")" = 1
check "what came while Redis was away is there" test "$(count '"subject":"another-node"')" = 1

root_of() { curl -s -m 60 "$url/v1/transparency" | grep -o '"root":"[0-9a-f]*' | sed 's/.*"//'; }
published=$(root_of)
check "the published root is the newest file's" ctl "$url" audit verify "$state/audit" --root "$published"
kill -TERM "$(pid_of scheduler-1)"
check "the scheduler ends" eventually 60 gone "$(pid_of scheduler-1)"
start_scheduler 1
check "it is back" eventually 60 up "$url"
check "sealed after the end" eventually 60 ctl "$url" audit seal
check "an end is an end" grep -q ' ended ' <(cat "$state"/audit/audit-*.txt)

check "whatever byte is changed is named, and a missing file, too" python3 - "$bin/qiaoctl" "$state/audit" "$published" <<'PY'
import os, random, shutil, subprocess, sys, tempfile
ctl, folder, published = sys.argv[1:]
def verify(path, *flags):
    return subprocess.run([ctl, "audit", "verify", path, *flags], capture_output=True, text=True)
names = sorted(os.listdir(folder))
assert len(names) >= 4, names
whole = verify(folder)
assert whole.returncode == 0, whole.stderr
random.seed(1)
for turn in range(150):
    name = random.choice(names)
    with tempfile.TemporaryDirectory() as copy:
        for each in names:
            shutil.copy(os.path.join(folder, each), copy)
        path = os.path.join(copy, name)
        content = bytearray(open(path, "rb").read())
        place = random.randrange(len(content))
        content[place] ^= 1 << random.randrange(8)
        open(path, "wb").write(content)
        found = verify(copy)
        line = content[:place].count(b"\n") + 1
        # A byte that became a newline, or was one, moves the lines behind it alone.
        assert found.returncode == 1 and f"{name}, line {line}: " in found.stderr, (name, place, found.stderr)
with tempfile.TemporaryDirectory() as copy:
    for each in names[:1] + names[2:]:
        shutil.copy(os.path.join(folder, each), copy)
    assert "is missing" in verify(copy).stderr
with tempfile.TemporaryDirectory() as copy:
    for each in names[:2]:
        shutil.copy(os.path.join(folder, each), copy)
    assert verify(copy).returncode == 0
    assert "not --root" in verify(copy, "--root", published).stderr
PY
check "no log names anybody" test "$(cat "$state"/log/*.log | grep -c somebody || true)" = 0
