#!/usr/bin/env bash
# Runs every outside-in proof against the program that TIDEGATE names, or target/release/tidegate of this checkout.
# Each prints one line with its figures; the last line counts them. `run.sh waves 'idle --wire ws'` runs only these.
# setup.sh brings what they talk with.
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

passed=0 failed=0
for script in "${scripts[@]}"; do
    read -ra words <<<"$script"
    if python3 "${words[0]}.py" "${words[@]:1}"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
    fi
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
