#!/usr/bin/env bash
# One seed is one history: played again, alone or after others, it has the same digest, and a broken promise says the command
# that plays it. Usage: replay.sh QIAO-SIM
set -euo pipefail
sim=$1
fail() { echo "replay: $*" >&2; exit 1; }

alone=$("$sim" --seed 9 --digest | grep '^seed 9:')
again=$("$sim" --seed 9 --digest | grep '^seed 9:')
after_others=$("$sim" --seed 5 --seeds 5 --digest | grep '^seed 9:')
other=$("$sim" --seed 10 --digest | grep '^seed 10:')
[ "$alone" = "$again" ] || fail "two plays differ: '$alone' and '$again'"
[ "$alone" = "$after_others" ] || fail "it differs after other seeds: '$alone' and '$after_others'"
[ "${alone#*: }" != "${other#*: }" ] || fail "two seeds have one digest"

# Fails at the same event each time, with a command that is whole.
said=$("$sim" --seed 7 --seeds 3 --requests 90 --break-at 2000 2>&1 >/dev/null) && fail "nothing was broken"
case $said in
    *'run.c'*'make sim SEED=7 NODES=4 SCHEDULERS=4 REQUESTS=90') ;;
    *) fail "it does not say how to play it again: '$said'" ;;
esac
echo "replay: $alone"
