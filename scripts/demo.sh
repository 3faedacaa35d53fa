#!/usr/bin/env bash
# Shows the whole story on a throw-away server: a million rows go into one file, are verified, come back equal.
#
#   scripts/demo.sh              needs a Rust toolchain; fetches a PostgreSQL server and clients
#   DEMO_MAJOR=15 scripts/demo.sh
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/postgres.sh
. scripts/features.sh

bold=$(tput bold 2>/dev/null || true)
plain=$(tput sgr0 2>/dev/null || true)
if [ ! -t 1 ] || [ -n "${NO_COLOR:-}" ]; then bold='' plain=''; fi
say() { printf '\n%s== %s%s\n' "$bold" "$*" "$plain"; }
run() { printf '%s$ %s%s\n' "$bold" "$*" "$plain"; "$@"; }

say "building pgstow, finding a server"
if ! command -v cc >/dev/null 2>&1; then need_command gcc gcc libc6-dev; fi
choose_features
cargo build --release --quiet "${features[@]}"
PATH=$(realpath "${CARGO_TARGET_DIR:-target}")/release:$PATH
pgstow --version
bin=$(server_bin "${DEMO_MAJOR:-18}")
clients=$(client_bin)
"$bin/postgres" --version

start_own_server "$bin" demo

# The clients serve to fill the database and to check pgstow's work; pgstow itself needs none.
psql() { "$clients/psql" -X -q "$@"; }

say "filling the database of a chat application (half a minute)"
started=$SECONDS
for database in chat chat_copy chat_psql; do psql -d postgres -c "CREATE DATABASE $database TEMPLATE template0"; done
psql -d chat -f fixtures/demo/chat.sql >/dev/null
psql -d chat -c ANALYZE
psql -d chat -c "SELECT relname AS table, to_char(reltuples, '999G999') AS rows, pg_size_pretty(pg_table_size(oid)) AS size
    FROM pg_class WHERE relnamespace = 'chat'::regnamespace AND relkind = 'r' ORDER BY pg_table_size(oid) DESC"
echo "made in $((SECONDS - started)) s"

cd "$work"

say "create: one file, four connections, one snapshot"
run pgstow create chat -j 4 -o chat.sql.gz
ls -l chat.sql.gz*

say "verify: every checksum, every row, every statement"
run pgstow verify chat.sql.gz
run sha256sum -c chat.sql.gz.sha256

say "one flipped bit is found"
cp chat.sql.gz damaged.sql.gz
middle=$(($(stat -c %s damaged.sql.gz) / 2))
byte=$(od -An -tu1 -j "$middle" -N 1 damaged.sql.gz)
# shellcheck disable=SC2059
printf "\\x$(printf %x $((byte ^ 16)))" | dd of=damaged.sql.gz bs=1 seek="$middle" conv=notrunc status=none
for call in "verify damaged.sql.gz" "restore damaged.sql.gz chat_copy --yes"; do
    status=0
    # shellcheck disable=SC2086
    run pgstow $call || status=$?
    echo "exit status $status"
    [ "$status" -eq 4 ]
done

say "restore into another database, and once more over the first restore"
run pgstow restore chat.sql.gz chat_copy -j 4 --yes
run pgstow restore chat.sql.gz chat_copy -j 4 --yes

say "any psql can replay the same file"
printf '%s$ gunzip -c chat.sql.gz | psql -X -v ON_ERROR_STOP=1 chat_psql%s\n' "$bold" "$plain"
gunzip -c chat.sql.gz | psql -v ON_ERROR_STOP=1 -d chat_psql >/dev/null

say "proof: schema by pg_dump, rows by the digests of our own dumps"
# Without the versions that new servers keep among the options of columns, where an old client takes them for the user's.
schema() { "$clients/pg_dump" -s "$1" | grep -v -e '^\\restrict' -e '^\\unrestrict' -e ' SET (pg_attver=[0-9]*);$'; }
# Table, columns, number of rows and the digest of all rows, whatever their order.
digests() { pgstow show --json "$1" | python3 -c '
import json, sys
for entry in json.load(sys.stdin)["entries"]:
    if entry.get("rows"):
        rows = entry["rows"]
        print(entry["name"].ljust(24), str(rows["rows"]).rjust(8), rows["digest"])'; }
schema chat >chat.schema
digests chat.sql.gz >chat.digests
cat chat.digests
for database in chat_copy chat_psql; do
    schema "$database" | diff chat.schema - || { echo "the schema of $database differs"; exit 1; }
    pgstow create "$database" -j 4 -o "$database.sql.gz" --json >/dev/null
    digests "$database.sql.gz" | diff chat.digests - || { echo "rows of $database differ"; exit 1; }
    echo "$database: schema equal ($(wc -l <chat.schema) lines), all rows equal ($(awk '{ n += $(NF-1) } END { print n }' chat.digests) rows)"
done

say "as a backup system: a set, its proof by restoring it, what retention says"
export BACKUP_DIR=$work/backups
run pgstow create chat -j 4 --kind daily
run pgstow drill latest chat
run pgstow list
run pgstow cleanup --dry-run

say "done in $((SECONDS - started)) s, nothing is left behind"
