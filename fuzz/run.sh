#!/usr/bin/env bash
# Runs every fuzz target for so many seconds, one after the other, and fails on a finding:
#   fuzz/run.sh 5            all of them
#   fuzz/run.sh 600 frames   only these
# What is found on the way is kept in fuzz/target/corpus; fuzz/corpus holds the seeds and stays as it is.
set -euo pipefail
cd "$(dirname "$0")"
export CARGO_TERM_COLOR=never

seconds=${1:?usage: fuzz/run.sh SECONDS [TARGET...]}
shift
command -v cargo-fuzz >/dev/null || cargo install --locked cargo-fuzz
targets=("$@")
[ "${#targets[@]}" -gt 0 ] || mapfile -t targets < <(cargo fuzz list)

# Without a sanitizer it runs on stable Rust: there is no unsafe code here for one to watch.
cargo fuzz build --sanitizer none

log=$(mktemp)
trap 'rm -f "$log"' EXIT
failed=()
for target in "${targets[@]}"; do
  found=target/corpus/$target
  mkdir -p "$found"
  options=(-max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 -print_final_stats=1)
  [ ! -f "dictionaries/$target" ] || options+=(-dict="dictionaries/$target")
  if cargo fuzz run --sanitizer none "$target" "$found" "corpus/$target" -- "${options[@]}" >"$log" 2>&1; then
    printf '%-10s %s, %s\n' "$target" "$(grep '^Done' "$log")" "$(grep -o 'cov: [0-9]* ft: [0-9]*' "$log" | tail -1)"
  else
    failed+=("$target")
    printf '%-10s FOUND SOMETHING\n' "$target"
    # From the panic on; before it stands nothing but progress.
    sed -n '/panicked at\|ERROR: libFuzzer/,$p' "$log" | head -60
  fi
done
[ "${#failed[@]}" -eq 0 ] || { echo "findings in: ${failed[*]} (inputs: fuzz/artifacts)"; exit 1; }
