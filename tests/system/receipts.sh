#!/usr/bin/env bash
# A receipt tells the model, the policy and the build of an answer, to whoever has the public key and no cluster; another byte of the receipt,
# or of the model's file, and it does not.
source "$(dirname "$0")/lib.sh"
source "$(dirname "$0")/governed.sh"
mkdir "$state/redis"
free_port
redis=$((port + 200))
model=$root/models/encoder/qiao-encoder.gguf
url=http://127.0.0.1:$port
ctl() { "$bin/qiaoctl" --url "$url" "$@"; }

keygen legal labels-1
document base "" '{}'
document aa base '{"features": {"embeddings": {"allowed": true, "gated": false, "models": "any", "adapters": "any", "languages": "any"}},
 "filter": {"required": false}, "labels": {"place": "none", "implicit": false},
 "privacy": {"residency": "any", "redact": []},
 "limits": {"prompt_tokens": 0, "answer_tokens": 0, "user_requests_per_minute": 0}}'
sign legal base aa

launch redis redis-server --port "$redis" --bind 127.0.0.1 --dir "$state/redis" --save '' --appendonly no
launch scheduler-1 "$bin/qiao-scheduler" --listen "127.0.0.1:$port" --listen-nodes "tcp://127.0.0.1:$((port + 100))" \
    --redis-port "$redis" --session-key "$state/session.key" --policy "$state/policy" \
    --policy-keys "$state/keys/legal.pub" --label-key "$state/keys/labels-1.key" --audit-dir "$state/audit"
launch node-1 "$bin/qiao-node" --model "$model" --name node-1 --threads 1 --scheduler "tcp://127.0.0.1:$((port + 100))"

embed() {
    curl -sf -m 60 -D "$state/head" -o "$state/body" "$url/v1/embeddings" -H 'X-Qiao-Region: aa' -d '{"input": "bamboo"}'
}
check "an answer comes" eventually 60 embed
sed -n 's/^X-Qiao-Receipt: //pI' "$state/head" | tr -d '\r' >"$state/receipt"
verify() { "$bin/qiaoctl" receipt verify "$state/receipt" --keys "$state/keys/labels-1.pub" "$@"; }
check "its receipt is good, and of this model's file" verify --model-file "$model"
check "another key's does not count" test "$("$bin/qiaoctl" receipt verify "$state/receipt" --keys "$state/keys/legal.pub" 2>&1)" = \
    "qiaoctl: $state/receipt: the receipt is signed with the key 'labels-1', which is not among those given"
policy=$(curl -s "$url/v1/transparency" | grep -o '"region":"aa","policy":"[0-9a-f]*' | sed 's/.*"//')
check "it names the policy in force" grep -q "\"policy\":\"$policy\"" "$state/receipt"

check "whatever bit of it is changed, it is not good" python3 - "$bin/qiaoctl" "$state" "$model" <<'PY'
import json, os, random, subprocess, sys
ctl, state, model = sys.argv[1:]
def verify(*flags):
    return subprocess.run([ctl, "receipt", "verify", f"{state}/changed", "--keys", f"{state}/keys/labels-1.pub", *flags],
                          capture_output=True)
random.seed(2)
receipt = json.load(open(f"{state}/receipt"))
for name, value in receipt.items():
    changed = dict(receipt)
    changed[name] = value + 1 if isinstance(value, int) else ("0" if value[:1] != "0" else "1") + value[1:]
    json.dump(changed, open(f"{state}/changed", "w"))
    assert verify().returncode == 1, name
json.dump(receipt, open(f"{state}/changed", "w"))
assert verify().returncode == 0
content = bytearray(open(model, "rb").read())
for _ in range(20):
    place = random.randrange(len(content))
    content[place] ^= 1 << random.randrange(8)
    open(f"{state}/model", "wb").write(content)
    found = verify("--model-file", f"{state}/model")
    assert found.returncode == 1 and b"is not the model that the answer was made with" in found.stderr, place
    content = bytearray(open(model, "rb").read())
PY
check "sealed files are signed" ctl audit seal
check "the signature is this scheduler's" "$bin/qiaoctl" audit verify "$state/audit" --keys "$state/keys/labels-1.pub"
