# What the tests of governed regions share, after lib.sh: keys in $state/keys, signed documents of policy in $state/policy.
mkdir "$state/policy" "$state/keys"

keygen() { # keygen NAME…
    local name
    for name in "$@"; do "$bin/qiaoctl" --out "$state/keys" policy keygen "$name" >/dev/null; done
}
document() { # document NAME EXTENDS RULES [SERIAL [UNTIL]]: without a signature; what extends nothing is the base
    python3 - "$state/policy/$1.json" "$@" <<'PY'
import json, sys
path, name, extends, rules, serial, until = (sys.argv[1:] + ["1", "2099-01-01T00:00:00Z"][len(sys.argv) - 5:])[:6]
document = {"format": "qiao policy 1", "kind": "region" if extends else "base", "name": name, "serial": int(serial),
            "valid_from": "2020-01-01T00:00:00Z", "valid_until": until, "rules": json.loads(rules)}
if extends: document["extends"] = extends
json.dump(document, open(path, "w"))
PY
}
sign() { # sign KEY NAME…: the documents, as they are
    local key=$1 name
    shift
    for name in "$@"; do
        "$bin/qiaoctl" --sign-key "$state/keys/$key.key" policy sign "$state/policy/$name.json" >/dev/null
    done
}
