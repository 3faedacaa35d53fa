#!/usr/bin/env bash
# Measures pgstow beside pg_dump, pg_restore, pgcopydb and the bare COPY, on a throw-away server of PostgreSQL 15.
#
#   scripts/bench.sh             all cases, medians of three or five: about 20 minutes; writes benches/REPORT.md and benches/charts
#   scripts/bench.sh --quick     small tables, one round, a few minutes; only prints
#   PGSTOW_BENCH_ONLY=two,restore_one scripts/bench.sh --quick
#
# Nothing else should run meanwhile. Of what it compares with, it fetches what is missing, as scripts/test.sh does.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/postgres.sh
. scripts/features.sh

quick=
case ${1:-} in
    '') ;;
    --quick) quick=1 ;;
    *) echo "usage: scripts/bench.sh [--quick]" >&2; exit 2 ;;
esac

if ! command -v cc >/dev/null 2>&1; then need_command gcc gcc libc6-dev; fi
choose_features
if ! command -v pgcopydb >/dev/null 2>&1 && may_install_packages; then install_packages pgcopydb || true; fi

major=${PGSTOW_TEST_MAJORS:-15}
server=$(server_bin "$major")
clients=$(client_bin)
client_17_bin >/dev/null
# pg_dump of the server's own major where it is installed; the others have none.
compared=$clients
if [ -x "/usr/lib/postgresql/$major/bin/pg_dump" ]; then compared=/usr/lib/postgresql/$major/bin; fi

export PGSTOW_TEST_MAJORS=$major PGSTOW_TEST_SERVERS=$major=$server PGSTOW_TEST_CLIENT=$clients PGSTOW_BENCH_CLIENT=$compared
# Room for a lock on each of 50 000 tables, their indexes and sequences.
export PGSTOW_TEST_SERVER_OPTIONS=${PGSTOW_TEST_SERVER_OPTIONS:--c max_locks_per_transaction=2500}
if [ -n "$quick" ]; then
    export PGSTOW_BENCH_SCALE=${PGSTOW_BENCH_SCALE:-0.05} PGSTOW_BENCH_ROUNDS=${PGSTOW_BENCH_ROUNDS:-1}
    export PGSTOW_BENCH_ONLY=${PGSTOW_BENCH_ONLY:-two,workers,one,text,numbers,binary,wide,partitions,schema,restore_one,restore_two,analyze,resume,copy,far,cores,gentle}
else
    export PGSTOW_BENCH_SCALE=${PGSTOW_BENCH_SCALE:-0.25} PGSTOW_BENCH_ROUNDS=${PGSTOW_BENCH_ROUNDS:-5} PGSTOW_BENCH_REPORT=benches
fi
exec cargo bench --locked "${features[@]}" --bench end_to_end
