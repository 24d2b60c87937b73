#!/usr/bin/env bash
# The official openai npm client against a real cluster of two nodes on the bundled model.
. "$(dirname "$0")/lib.sh"
command -v npm >/dev/null || { echo "npm is missing; run deploy/install test" >&2; exit 1; }
cd "$root/tests/system/openai"
[ -d node_modules/openai ] || npm ci --no-audit --no-fund >"$state/npm.log" 2>&1 || { cat "$state/npm.log" >&2; exit 1; }
cluster --nodes 2
QIAO_URL=$url node --test chat.test.mjs
