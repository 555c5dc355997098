#!/usr/bin/env bash
# Runs every outside-in proof against the program that TIDEGATE names, or target/release/tidegate of this checkout.
# Each prints one line with its figures; the last line counts them. `run.sh idle waves` runs only these.
set -u
cd "$(dirname "$0")" || exit 1

scripts=("$@")
[ $# -gt 0 ] || scripts=(plain go_programs heartbeat idle waves descriptors shutdown slow syscalls reconnect)

passed=0 failed=0
for script in "${scripts[@]}"; do
    if python3 "$script.py"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
    fi
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
