#!/usr/bin/env bash
# Give random and damaged input to everything that reads what comes from outside, for some minutes, and stop at the
# first traceback or difference. Usage: tools/fuzz_doors.sh [MINUTES [SEED]]
# Each round runs the tests marked fuzz_doors with new seeds; the seed of a round that failed is printed.
set -euo pipefail
cd "$(dirname "$0")/.."

minutes=${1:-10} seed=${2:-$RANDOM} rounds=0
until=$(($(date +%s) + minutes * 60))
while [ "$(date +%s)" -lt "$until" ]; do
    if ! pytest -m fuzz_doors --numprocesses "${TEST_WORKERS:-3}" --hypothesis-profile doors --hypothesis-seed "$seed" --maxfail 1; then
        echo "fuzz-doors: found something; again: tools/fuzz_doors.sh 1 $seed" >&2
        exit 1
    fi
    seed=$((seed + 1)) rounds=$((rounds + 1))
done
echo "fuzz-doors: $rounds rounds in $minutes minutes, no traceback, no difference" >&2
