#!/usr/bin/env bash
# libm_imports.sh LIBRARY...: fails when an object imports a function of libm other than sqrt and fma. libm's
# results differ between versions and code paths; the numerics contract wants ours (kernels/mathf.h).
set -euo pipefail
[ $# -gt 0 ] || { echo "no library given"; exit 1; }
libm=$(${CC:-cc} -print-file-name=libm.so.6)
allowed='^(sqrt|sqrtf|fma|fmaf)$'
banned=$(nm -D --defined-only "$libm" | awk '{print $NF}' | sed 's/@.*//' | grep -Ev "$allowed" | sort -u)
[ "$(wc -l <<<"$banned")" -gt 100 ] || { echo "cannot read the names of $libm"; exit 1; }
failed=0
for library in "$@"; do
    [ -r "$library" ] || { echo "$library is not built"; exit 1; }
    imports=$(nm -u "$library" 2>/dev/null | awk 'NF == 2 && $1 == "U" {print $2}' | sort -u)
    bad=$(comm -12 <(echo "$banned") <(echo "$imports"))
    if [ -n "$bad" ]; then
        echo "$library imports from libm:" $bad
        failed=1
    fi
done
[ $failed = 0 ] && echo "$# libraries import nothing of libm but sqrt and fma"
exit $failed
