#!/usr/bin/env bash
# Runs every benchmark with its peers and writes build/bench/results/NAME.md. Bounded: each script ends after its limit.
#   bench/run_all.sh [NAME...]     e.g. bench/run_all.sh hot_reads batches
#   ZN_BENCH_QUICK=1 bench/run_all.sh    a first look in minutes: smaller files, fewer rounds, no figures to publish
set -uo pipefail
cd "$(dirname "$0")/.."
tools/deps build test bench || exit 1
tools/build release || exit 1
results=${ZN_BENCH_DIR:-build/bench}/results
mkdir -p "$results"
declare -A limit=([imports]=600 [hot_reads]=500 [cold_reads]=400 [batches]=400 [whole_field]=150 [edits]=900 [pressure]=400 [sizes]=200 [events]=300 [zarr_view]=300 [export]=300 [zarr_import]=300 [rounded]=200 [http_edits]=300 [locks]=120 [backup]=600 [collect]=300 [fsck]=300)
failed=()
for name in "${@:-imports hot_reads cold_reads batches whole_field edits pressure sizes events zarr_view export zarr_import rounded http_edits locks backup collect fsck}"; do
  for script in $name; do
    echo "== $script (at most ${limit[$script]:-900} s)"
    if timeout --signal=INT "${limit[$script]:-900}" /usr/bin/python3 "bench/$script.py" >"$results/$script.md.new"; then
      mv "$results/$script.md.new" "$results/$script.md"
      cat "$results/$script.md"
    else
      echo "bench/$script.py failed or ran out of time" >&2
      failed+=("$script")
    fi
  done
done
if ((${#failed[@]})); then echo "not measured: ${failed[*]}" >&2; exit 1; fi
