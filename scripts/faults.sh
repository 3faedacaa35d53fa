#!/usr/bin/env bash
# Disturbs 300 restores (in place, --single-transaction, --swap; archives of pgstow and pg_dump) at random moments: crashes of the
# server, broken connections, signals, kill -9. Prints the seed of each run.
#
#   scripts/faults.sh [RUNS [SEED]]
#   PGSTOW_TEST_MAJORS=15 scripts/faults.sh 50
set -euo pipefail
cd "$(dirname "$0")/.."
export PGSTOW_TEST_FAULTS=${1:-300}
if [ $# -gt 1 ]; then export PGSTOW_TEST_SEED=$2; fi
exec scripts/test.sh --test it -- --nocapture faults::
