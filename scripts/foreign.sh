#!/usr/bin/env bash
# Databases that other people's SQL files make: dump, restore into a new database, restore over it, replay by psql, and compare each
# copy with the source by pg_dump -s, line by line, and by rows. Beside them stands the copy that pg_dump | psql makes: what differs
# there, too, is no worse than pg_dump.
#
#   scripts/foreign.sh [--setup FILE] DIR [MAJOR]    # every DIR/*.sql, on PostgreSQL MAJOR (18)
#
# Files may fail in part, connect elsewhere, and make databases, which are compared as well. --setup runs FILE before each. psql passes the
# environment on, as the server's own regression tests want it (PG_ABS_SRCDIR, PG_LIBDIR, PG_DLSUFFIX).
#
# One line tells of each database, a table of all; logs, scripts and differences stay in target/foreign/. Exit status 1 if any is worse.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/postgres.sh

usage() { sed -n '2,12s/^# \{0,1\}//p' "scripts/foreign.sh" >&2; exit 2; }

setup=
while [ $# -gt 0 ]; do
    case $1 in
        --setup) setup=$(realpath "${2:?--setup needs a file}"); shift 2 ;;
        -*) usage ;;
        *) break ;;
    esac
done
[ $# -ge 1 ] && [ $# -le 2 ] || usage
files=$(find "$(realpath "$1")" -maxdepth 1 -name '*.sql' | LC_ALL=C sort)
[ -n "$files" ] || { echo "$1 has no file *.sql" >&2; exit 2; }
major=${2:-18}

if ! command -v cc >/dev/null 2>&1; then need_command gcc gcc libc6-dev; fi
cargo build --quiet --locked
target=$(realpath "${CARGO_TARGET_DIR:-target}")
pgstow=$target/debug/pgstow
bin=$(server_bin "$major")
clients=$(client_bin)

# Subscriptions that a file makes need wal_level, prepared transactions a place.
PGSTOW_TEST_SERVER_OPTIONS="-c wal_level=logical -c max_prepared_transactions=10 -c max_locks_per_transaction=256 ${PGSTOW_TEST_SERVER_OPTIONS:-}" \
    start_own_server "$bin" foreign

sql() { "$clients/psql" -X -q -A -t -v ON_ERROR_STOP=1 -d "$1" -c "$2"; }
databases() { sql postgres "SELECT datname FROM pg_database WHERE datname NOT IN ('template0', 'template1', 'postgres') ORDER BY 1"; }
quoted() { printf '"%s"' "${1//\"/\"\"}"; }

# Some files make some servers crash: they are back after a moment.
await_server() {
    for _ in $(seq 300); do
        if sql postgres "SELECT 1" >/dev/null 2>&1; then return; fi
        sleep 0.1
    done
    echo "the server does not come back" >&2
    return 1
}

# Drops a database, whatever a file has left in it or tied to it.
drop_database() {
    local name=$1 literal="'${1//\'/\'\'}'" other
    sql postgres "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $literal" >/dev/null
    sql postgres "ALTER DATABASE $(quoted "$name") WITH ALLOW_CONNECTIONS true CONNECTION LIMIT -1 IS_TEMPLATE false"
    sql "$name" "SELECT format('ALTER SUBSCRIPTION %1\$I DISABLE; ALTER SUBSCRIPTION %1\$I SET (slot_name = NONE); DROP SUBSCRIPTION %1\$I;', subname)
        FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid WHERE d.datname = current_database()" \
        | "$clients/psql" -X -q -d "$name" >/dev/null
    sql "$name" "SELECT format('ROLLBACK PREPARED %L;', gid) FROM pg_prepared_xacts WHERE database = current_database()" \
        | "$clients/psql" -X -q -d "$name" >/dev/null
    sql postgres "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = $literal" >/dev/null
    # Who was told to go may not have gone yet.
    for _ in $(seq 50); do
        other=$(sql postgres "SELECT count(*) FROM pg_stat_activity WHERE datname = $literal")
        [ "$other" -eq 0 ] && break
        sleep 0.1
    done
    sql postgres "DROP DATABASE $(quoted "$name")"
}

drop_all() {
    local name
    databases | while IFS= read -r name; do drop_database "$name"; done
}

# Without what differs between equal databases; new servers keep versions among the options of columns.
comparable() {
    grep -v -e '^\\restrict ' -e '^\\unrestrict ' -e '^-- Dumped ' -e ' SET (pg_attver=[0-9]*);$' | sed 's/ SET (pg_attver=[0-9]*, / SET (/'
}

# What a database holds, as two files: $2.schema and $2.rows.
write_down() {
    "$clients/pg_dump" -s "$1" | comparable >"$2.schema" && "$clients/pg_dump" -a --inserts "$1" | comparable | LC_ALL=C sort >"$2.rows"
}

# Compares the database $1 with the source, as copy $2: prints "lines/rows" that differ. The lines are kept in $2.different.
compare() {
    local copy=$2 part count counts=()
    if ! write_down "$1" "$copy" 2>>"$copy.log"; then echo "pg_dump fails" >"$copy.different"; echo "-"; return; fi
    : >"$copy.different"
    for part in schema rows; do
        diff source."$part" "$copy.$part" >"$copy.$part.diff" || true
        count=$(grep -c '^[<>]' "$copy.$part.diff" || true)
        sed -n "s/^[<>]/$part: &/p" "$copy.$part.diff" >>"$copy.different"
        counts+=("$count")
    done
    echo "${counts[0]}/${counts[1]}"
}

# Notes a step that failed, with what it said.
failed() { printf '%s: %s\n' "$1" "$(grep -m1 -i -e error -e fatal "$2" || echo 'it fails')" >>problems; }

# Copies the database $1 in every way. Columns of the table go to the file cells.
copy_all() {
    local source=$1 restored=- again=- replayed=- theirs=-
    : >problems
    if ! write_down "$source" source 2>source.log; then
        echo "pg_dump cannot read it: $(head -1 source.log)" >problems
    fi
    if ! "$pgstow" create "$source" -o archive.sql.gz >create.log 2>&1; then
        cp create.log refused
        "$pgstow" create "$source" -o archive.sql.gz --skip-unsupported >create.log 2>&1 || true
    fi
    if [ -e archive.sql.gz ]; then
        if "$pgstow" restore archive.sql.gz foreign_copy --create --yes >restored.log 2>&1; then restored=$(compare foreign_copy restored)
        else failed "restore --create" restored.log; fi
        if "$pgstow" restore archive.sql.gz foreign_copy --yes >again.log 2>&1; then again=$(compare foreign_copy again)
        else failed "restore over it" again.log; fi
        sql postgres "CREATE DATABASE foreign_replay TEMPLATE template0"
        if gunzip -c archive.sql.gz | "$clients/psql" -X -q -v ON_ERROR_STOP=1 -d foreign_replay >replayed.log 2>&1; then
            replayed=$(compare foreign_replay replayed)
        else failed "psql" replayed.log; fi
    fi
    sql postgres "CREATE DATABASE foreign_pg_dump TEMPLATE template0"
    # Servers before 17 do not know the setting.
    { "$clients/pg_dump" "$source" | sed '/^SET transaction_timeout = 0;$/d' | "$clients/psql" -X -q -d foreign_pg_dump; } >theirs.log 2>&1 || true
    theirs=$(compare foreign_pg_dump theirs)
    printf '%s\t%s\t%s\t%s' "$restored" "$again" "$replayed" "$theirs" >cells
}

# Prints "same", "as pg_dump", "told", or "WORSE", which the file problems explains. A line that differs from the source in pg_dump's copy,
# too, is no worse, nor is what pgstow refuses by name where pg_dump leaves something out in silence.
judge() {
    local copy more
    if [ -e refused ] && [ -s theirs.different ]; then
        sed 's/^/create: /' refused >told
        if [ ! -s problems ]; then echo "told"; return; fi
    elif [ -e refused ]; then failed create refused
    fi
    for copy in restored again replayed; do
        [ -e "$copy.different" ] || continue
        more=$(LC_ALL=C comm -23 <(LC_ALL=C sort "$copy.different") <(LC_ALL=C sort theirs.different) | tee "$copy.worse" | wc -l)
        if [ "$more" -gt 0 ]; then echo "$copy: $more lines differ that do not in pg_dump's copy: $(head -1 "$copy.worse")" >>problems; fi
    done
    if [ -s problems ]; then echo "WORSE"
    elif cat restored.different again.different replayed.different | grep -q .; then echo "as pg_dump"
    else echo "same"
    fi
}

table=$work/table
status=0
printf 'database\terrors\trestored\tagain\treplayed\tpg_dump\t\n' >"$table"
while IFS= read -r file <&4; do
    base=$(basename "$file" .sql)
    drop_all
    sql postgres "CREATE DATABASE foreign_source TEMPLATE template0"
    out=$target/foreign/$base
    rm -rf "$out"
    mkdir -p "$out"
    for script in ${setup:+"$setup"} "$file"; do
        (cd "$(dirname "$script")" && timeout 300 "$clients/psql" -X -q -d foreign_source -f "$script") </dev/null >"$out/$(basename "$script").log" 2>&1 || true
    done
    await_server
    errors=$(grep -c -e 'ERROR: ' -e 'FATAL: ' "$out/$base.sql.log" || true)
    sources=$(databases)
    while IFS= read -r source <&3; do
        name=$base
        # Who made a database of his own left ours empty.
        if [ "$sources" != foreign_source ]; then name=$base:$source; fi
        mkdir -p "$out/$source"
        outcome=$(cd "$out/$source" && copy_all "$source" && judge)
        printf '%-40s %s\n' "$name" "$outcome"
        (cd "$out/$source" && cat problems told 2>/dev/null) | sed 's/^/    /' || true
        if [ "$outcome" = WORSE ]; then status=1; fi
        printf '%s\t%s\t%s\t%s\n' "$name" "$errors" "$(cat "$out/$source/cells")" "$outcome" >>"$table"
        for copy in foreign_copy foreign_replay foreign_pg_dump; do
            if databases | grep -qx "$copy"; then drop_database "$copy"; fi
        done
    done 3<<<"$sources"
done 4<<<"$files"
echo
echo "errors: of the file itself; then lines of schema / of rows by which each copy differs from its source"
awk -F '\t' '{ printf "%-40s %7s %12s %12s %12s %12s  %s\n", $1, $2, $3, $4, $5, $6, $7 }' "$table"
awk -F '\t' 'NR > 1 { all++; of[$7]++ } END { printf "%d databases: %d same, %d as pg_dump, %d told, %d worse\n", all, of["same"], of["as pg_dump"], of["told"], of["WORSE"] }' "$table"
exit $status
