#!/usr/bin/env bash
# The safety filter over real processes, with 10,000 terms: what the bundled model says is masked or refused, streamed or not; a bundle is
# compiled, signed, taken and replaced while streams run; and what it costs of 16 streams.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/governed.sh"
mkdir "$state/terms"
free_port
url=http://127.0.0.1:$port
plain=http://127.0.0.1:$((port + 1))
region=(-H "X-Qiao-Region: aa")

scheduler() { # scheduler NUMBER FLAGS…
    local number=$1
    shift
    launch "scheduler-$number" "$bin/qiao-scheduler" --listen "127.0.0.1:$((port + number - 1))" --redis-port $((port + 200)) \
        --listen-nodes "tcp://127.0.0.1:$((port + 99 + number))" "$@"
}
ctl() { "$bin/qiaoctl" --key "the key of operators" --url "$url" --sign-key "$state/keys/op.key" --policy-keys "$state/keys/op.pub" "$@"; }
ask() { # ask MORE…: an answer to the one question
    curl -sN --max-time 300 "$url/v1/chat/completions" "${region[@]}" -d \
        "{\"messages\":[{\"role\":\"user\",\"content\":\"${text:-介绍一下远山手机 2}\"}],\"temperature\":0,\"max_tokens\":60$1}"
}
content() { python3 -c 'import json,sys; print(json.load(sys.stdin)["choices"][0]["message"]["content"], end="")'; }
streamed() {
    python3 -c 'import json,sys
for line in sys.stdin:
    if line.startswith("data: {"):
        for choice in json.loads(line[6:])["choices"]:
            print(choice["delta"].get("content") or "", end="")'
}
serial=0
terms() { # terms LINE…: a newer edition of 10,000 terms and these, signed
    serial=$((serial + 1))
    python3 - "$serial" "$@" >"$state/source" <<'PY'
import datetime, random, sys
draw = random.Random(6)
print(f"qiao terms 1\nname big\nserial {sys.argv[1]}\nmade {datetime.datetime.utcnow():%Y-%m-%d}")
print("category bar block block\ncategory veil mask mask")
for i in range(10000):
    han = "".join(chr(draw.randrange(0x4E00, 0x9FA6)) for _ in range(draw.randrange(3, 6)))
    latin = "".join(draw.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(draw.randrange(6, 10)))
    print("term veil", han if i % 2 else latin)
print("\n".join(sys.argv[2:]))
PY
    ctl terms compile "$state/source" --out "$state/terms" >/dev/null
    ctl terms sign "$state/terms/big.terms" >/dev/null
}
has_serial() { has "\"serial\": *$1[,}]" "$(ctl terms show --json)"; }

launch redis redis-server --port $((port + 200)) --save "" --dir "$state"
keygen op
document base "" '{
  "features": {"assistant": {"allowed": true, "gated": false, "models": "any", "languages": "any"}},
  "labels": {"place": "none", "implicit": false},
  "filter": {"required": true, "bundle": "big", "max_age_days": 30, "window": 256, "strikes": 3, "strike_seconds": 3600,
             "suspend_seconds": 60, "refusal": {"en": "I cannot help with this.", "zh-Hans": "抱歉，我无法回答。"}},
  "privacy": {"redact": [], "residency": "any"},
  "audit": {"stops": []},
  "limits": {"prompt_tokens": 8192, "answer_tokens": 2048, "user_requests_per_minute": 100000}}'
document aa base '{}'
sign op base aa
terms
printf '[{"key":"the key of region aa","id":"only","tenant":"local","regions":["aa"]},{"key":"the key of operators","id":"any","tenant":"local","regions":["*"],"may_assert_user":true,"admin":true}]' \
    >"$state/keys.json"
scheduler 1 --policy "$state/policy" --policy-keys "$state/keys/op.pub" --terms "$state/terms"
scheduler 2
launch node-1 "$bin/qiao-node" --model "$root/models/assistant/qiao-mini.gguf" --name node-1 --threads 2 \
    --scheduler "tcp://127.0.0.1:$((port + 100)),tcp://127.0.0.1:$((port + 101))"
check "both schedulers are ready" eventually 60 ready "$url"
check "the other one, too" eventually 60 ready "$plain"

ask "" | content >"$state/free"
check "an answer that holds no term is what the model says" test -s "$state/free"
ask ',"stream":true' | streamed >"$state/streamed"
check "and streamed the same" cmp "$state/streamed" "$state/free"
word=$(python3 -c 'import sys; text = open(sys.argv[1]).read(); at = len(text) // 2
han = [i for i in range(len(text) - 2) if all("\u4e00" <= c <= "\u9fa5" for c in text[i:i + 3])]
print(text[min(han, key=lambda i: abs(i - at)):][:3])' "$state/free")

running=()
for _ in $(seq 6); do # streams that run while it changes
    ask ',"stream":true' >/dev/null &
    running+=($!)
done
terms "term veil $word"
check "a newer bundle is taken by itself" eventually 60 has_serial "$serial"
for job in "${running[@]}"; do wait "$job"; done
ask "" | content >"$state/masked"
check "a word that the model says is masked" grep -q '\*\*\*' "$state/masked"
check "and does not come through" test "$(grep -c "$word" "$state/masked" || true)" = 0
ask ',"stream":true' | streamed | cmp - "$state/masked"
running=()
for _ in $(seq 16); do
    ask ',"stream":true' | streamed | cmp - "$state/masked" &
    running+=($!)
done
for job in "${running[@]}"; do wait "$job"; done
check "16 streams at once are what one is" true

terms "term bar $word"
check "a bundle that blocks is taken" eventually 60 has_serial "$serial"
curl -s -o /dev/null "$url/admin/terms/reload" -d '{}'
check "an answer that is blocked is the refusal" test "$(ask "" | content)" = "I cannot help with this."
check "and a stream ends with it" grep -q '"finish_reason":"content_filter"' <<<"$(ask ',"stream":true')"
text="说说${word:0:1}·${word:1:1}·${word:2:1}" region+=(-H "Accept-Language: zh-CN")
check "a prompt that is blocked is refused in its language" test "$(ask "" | content)" = "抱歉，我无法回答。"
check "the third strike suspends" grep -q '"code":"user_suspended"' <<<"$(ask "")"
unset text

refusals() { curl -s "$url/metrics" | awk '/^qiao_terms_loads_total.*refused/ {print $2}'; }
before=$(refusals)
refused() {
    local now
    now=$(refusals)
    [ "${now:-0}" -gt "${before:-0}" ]
}
cp "$state/terms/big.terms" "$state/good"
sed -i '$d' "$state/terms/big.terms"
check "a bundle with a line less is not the one that was signed" eventually 60 refused
check "and the one before holds" has_serial "$serial"
check "terms check names it" grep -q "not one of these bytes" <<<"$(ctl terms check "$state/terms/big.terms" 2>&1 || true)"
cp "$state/good" "$state/terms/big.terms"
check "a term that would be everywhere is refused by name" grep -q "'x' has fewer than 2" <<<"$(
    printf 'qiao terms 1\nname n\nserial 1\nmade 2026-11-26\ncategory c mask mask\nterm c x\n' >"$state/short"
    ctl terms check "$state/short" 2>&1 || true)"

# What it costs: the time for a token of three bytes, as a share of the time that 16 streams have for one; and both schedulers in turn.
terms
check "terms that the model does not say are back" eventually 60 has_serial "$serial"
kill "$(pid_of scheduler-1)"
check "the scheduler ends" eventually 60 gone "$(pid_of scheduler-1)"
scheduler 1 --policy "$state/policy" --policy-keys "$state/keys/op.pub" --terms "$state/terms" --keys "$state/keys.json"
check "with keys of one region" eventually 60 ready "$url"
tokens() { # tokens URL FLAGS…: a second, of 16 streams
    "$bin/qiao-load" --url "$1" --concurrency 16 --duration 3 --language zh --max-tokens 64 --temperature 0 --json - "${@:2}" |
        python3 -c 'import json,sys; print(round(json.load(sys.stdin)["tokens"]["completion_per_s"]))'
}
free=0 filtered=0
for _ in 1 2; do
    free=$((free + $(tokens "$plain")))
    filtered=$((filtered + $(tokens "$url" --key "the key of region aa")))
done
yes "$(cat "$state/free")" | head -c 2000000 >"$state/long" || true # yes hears that nobody reads on
ns=$("$bin/bench-filter" "$state/long" | tail -n 1 | sed 's/.*, \([0-9]*\) ns a piece/\1/')
echo "16 streams: $((free / 2)) tokens/s without, $((filtered / 2)) with; $ns ns for three bytes: $((ns * free / 2 / 1000)) millionths of the time"
check "the filter takes at most 3 % of the streams' time" test $((ns * free / 2 / 1000)) -le 30000
