#!/usr/bin/env bash
# Two schedulers over one Redis: streams that break, by the client or by kill -9, are gone on with to the byte.
#
#   [CUTS=24] [KILLS=6] tests/system/resume.sh
. "$(dirname "$0")/lib.sh"
cluster --nodes 2 --schedulers 2
ENDLESS=$(endless) python3 "$root/tests/system/resume.py" "$state" "$url" "http://127.0.0.1:$((port + 1))"
