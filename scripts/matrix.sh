#!/usr/bin/env bash
# Every kind of object on every major: dump, drill, restore twice, replay by psql, compare with the source. Prints one
# table: fixtures passed / run.
#
#   scripts/matrix.sh                                # all of 10 to 18, about 45 minutes on two cores
#   PGSTOW_TEST_MAJORS="12 18" scripts/matrix.sh
set -euo pipefail
cd "$(dirname "$0")/.."
table=$(mktemp)
trap 'rm -f "$table"' EXIT
status=0
PGSTOW_TEST_MAJORS=${PGSTOW_TEST_MAJORS:-all} PGSTOW_TEST_MATRIX=$table PGSTOW_TEST_EVERY=1 \
    scripts/test.sh --test it -- roundtrip::every_fixture || status=$?
cat "$table"
exit $status
