#!/usr/bin/env bash
# 10 000 names and texts that try to leave their quotes, for objects of every kind: dump, restore twice, replay by psql,
# compare with the source.
#
#   scripts/hostile.sh [SEED]                        # without a seed a new one, which is printed
#   PGSTOW_TEST_NAMES=1000 PGSTOW_TEST_MAJORS="10 18" scripts/hostile.sh 7
set -euo pipefail
cd "$(dirname "$0")/.."
seed=${1:-$(date +%s)}
echo "seed $seed"
PGSTOW_TEST_SEED=$seed PGSTOW_TEST_NAMES=${PGSTOW_TEST_NAMES:-10000} PGSTOW_TEST_MAJORS=${PGSTOW_TEST_MAJORS:-18} \
    scripts/test.sh --test it -- --nocapture hostile_names
