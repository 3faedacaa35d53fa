#!/usr/bin/env bash
# Runs all tests on real servers and fetches what they need.
#
#   scripts/test.sh [arguments of cargo test...]
#   PGSTOW_TEST_MAJORS="14 17" scripts/test.sh       # or: all. Without it: 15 18
#   PGSTOW_TEST_EVERY=1 scripts/test.sh                # and the cases of long tests that are taken in turns, day by day
#   PGSTOW_TEST_FIXTURE=policy scripts/test.sh --test it roundtrip
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/postgres.sh
. scripts/features.sh

if ! command -v cc >/dev/null 2>&1; then need_command gcc gcc libc6-dev; fi
# Outside judges of the service and of prompts.
need_command curl curl
need_command script bsdutils
choose_features

majors=${PGSTOW_TEST_MAJORS:-15 18}
if [ "$majors" = all ]; then majors="10 11 12 13 14 15 16 17 18"; fi

servers=
for major in ${majors//,/ }; do
    bin=$(server_bin "$major")
    servers=${servers:+$servers,}$major=$bin
    echo "PostgreSQL $major: $("$bin/postgres" --version), $bin"
done
clients=$(client_bin)
client_17_bin >/dev/null
echo "clients: $("$clients/psql" --version), $clients"

export PGSTOW_TEST_MAJORS=$majors PGSTOW_TEST_SERVERS=$servers PGSTOW_TEST_CLIENT=$clients
exec cargo test "${features[@]}" "$@"
