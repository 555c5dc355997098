#!/usr/bin/env bash
# Runs every outside-in proof against the program that TIDEGATE names, or target/release/tidegate of this checkout.
# Each prints one line with its figures; what failed is printed again at the end, and the last line counts.
# `run.sh waves 'idle --wire ws'` runs only these. setup.sh brings what they talk with.
set -u
cd "$(dirname "$0")" || exit 1

scripts=("$@")
[ $# -gt 0 ] || scripts=(
    plain go_programs heartbeat idle 'idle --wire ws' 'idle --wire tls' 'idle --wire hub' waves descriptors shutdown slow syscalls reconnect
    ws_python ws_node ws_go ws_browser ws_autobahn ws_hostile
    http_curl tls_openssl proxy_haproxy
    hub_node hub_python hub_cent hub_extensions hub_malformed hub_kill hub_slow hub_storm
    bench
)

passed=0 failed=()
for script in "${scripts[@]}"; do
    read -ra words <<<"$script"
    if said=$(python3 "${words[0]}.py" "${words[@]:1}" 2>&1); then
        passed=$((passed + 1))
        echo "$said"
    else
        failed+=("$script: $said")
        echo "${failed[-1]}"
    fi
done
[ ${#failed[@]} -eq 0 ] || printf '\nagain, what failed:\n%s\n' "$(printf '%s\n' "${failed[@]}")"
echo "$passed passed, ${#failed[@]} failed"
[ ${#failed[@]} -eq 0 ]
