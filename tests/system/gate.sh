#!/usr/bin/env bash
# The approval gate over real processes: 2 schedulers, 3 nodes, Redis behind Sentinels with two replicas. No path opens a feature before its
# approval (spring 2026); a suspension holds within a second with 100 live streams, also while a scheduler stands still, or is cut off from
# Redis; and one that sees an old master alone lets nothing out. gate.py does it; this starts what it needs.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/sentinels.sh"
. "$(dirname "$0")/governed.sh"
free_port
base=$((port + 200))

# --- a region "cn" that asks for a filing, an assessment and two keys
keygen author ann bo mallory
public() { sed -n 's/^key //p' "$state/keys/$1.pub"; }
document base "" '{"filter": {"required": false}, "labels": {"implicit": false, "place": "none"}}'
document cn base '{
  "features": {"assistant": {"allowed": true, "gated": true, "models": "any", "adapters": "any", "languages": "any"},
               "embeddings": {"allowed": true, "gated": true, "models": "any", "adapters": "any", "languages": "any"}},
  "gate": {"evidence": ["filing", "assessment"], "signatures": 2, "evidence_days": 365, "hold_ms": 3000,
           "approvers": [{"id": "ann", "key": "'"$(public ann)"'"}, {"id": "bo", "key": "'"$(public bo)"'"}]},
  "filter": {"required": false}, "labels": {"implicit": false, "place": "none"},
  "privacy": {"redact": [], "residency": "any"}, "limits": {"prompt_tokens": 0, "answer_tokens": 0, "user_requests_per_minute": 0},
  "audit": {"stops": []}}'
sign author base cn
echo "the filing of 2026" >"$state/filing.txt"
echo "the assessment of 2026" >"$state/assessment.txt"

# --- the processes
sentinels $base
export QIAO_POLICY=$state/policy QIAO_POLICY_KEYS=$state/keys/author.pub QIAO_SESSION_KEY=$state/session.key QIAO_GATE_REPLICAS=2
# scheduler-2 sees redis-1 alone, through a pipe that can be stopped: that is its partition, and after a failover its old master.
launch pipe python3 "$root/tests/system/gate.py" pipe $((base + 6)) $base
servers+=(pipe)
check "the pipe is up" eventually 60 says $((base + 6)) PONG PING
launch scheduler-1 "$bin/qiao-scheduler" --listen "127.0.0.1:$port" --listen-nodes "tcp://127.0.0.1:$((port + 100))" \
    --redis-sentinel "127.0.0.1:$((base + 3)),127.0.0.1:$((base + 4)),127.0.0.1:$((base + 5))" --redis-master qiao
launch scheduler-2 "$bin/qiao-scheduler" --listen "127.0.0.1:$((port + 1))" --listen-nodes "tcp://127.0.0.1:$((port + 101))" \
    --redis-port $((base + 6))
for i in 1 2 3; do
    launch "node-$i" "$bin/qiao-node" --engine echo --echo-delay-ms 80 --sequences 100 --batch-tokens 1024 --name "echo-$i" \
        --scheduler "tcp://127.0.0.1:$((port + 100)),tcp://127.0.0.1:$((port + 101))"
done
for i in 1 2; do check "scheduler-$i is ready" eventually 60 ready "http://127.0.0.1:$((port + i - 1))"; done

python3 -u "$root/tests/system/gate.py" "$state" "$bin" "$port"
