#!/usr/bin/env bash
# Guards the hot loops without a clock: how many instructions the main jobs take for the same rows, by valgrind's callgrind.
#
#   scripts/instructions.sh             compares with benches/instructions.txt; status 1 if a job takes 5 % more
#   scripts/instructions.sh --record    writes that file: after a change that is worth it, or with another compiler
#
# Needs a Rust toolchain; fetches valgrind, a PostgreSQL server and clients. Takes some minutes.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/postgres.sh
. scripts/features.sh

# Per cent. How the bytes of a connection fall into pieces differs from run to run: by less than one, of the smallest job by two.
TOLERANCE=5
RECORD=$PWD/benches/instructions.txt

case ${1:-} in
    '' | --record) ;;
    *) echo "usage: scripts/instructions.sh [--record]" >&2; exit 2 ;;
esac

need_command valgrind valgrind
choose_features
cargo build --release --locked --quiet "${features[@]}"
pgstow=$(realpath "${CARGO_TARGET_DIR:-target}")/release/pgstow
bin=$(server_bin 18)
clients=$(client_bin)

start_own_server "$bin" instructions
psql() { "$clients/psql" -X -q -d postgres -v ON_ERROR_STOP=1 "$@"; }

psql <<'SQL'
CREATE TABLE numbers AS
    SELECT n AS id, (n * 7919) % 1000003 AS a, n * 1.5::float8 AS f, round(n / 7.0, 2) AS amount, timestamptz '2025-01-01' + n * interval '1 second' AS at
    FROM generate_series(1, 150000) n;
CREATE TABLE texts AS
    SELECT n AS id, md5(n::text) || ' ' || repeat(md5((n % 1000)::text) || E'\t', 8) AS body, jsonb_build_object('n', n, 'tag', 't' || n % 100) AS meta
    FROM generate_series(1, 30000) n;
ALTER TABLE numbers ADD PRIMARY KEY (id);
SELECT format('CREATE TABLE small_%s (id bigserial PRIMARY KEY, name text NOT NULL, CHECK (name <> %L))', n, '') FROM generate_series(1, 300) n \gexec
SQL
for database in copy replayed; do psql -c "CREATE DATABASE $database TEMPLATE template0"; done

# counted JOB ARGUMENTS...: a line of the job and its millions of instructions.
counted() {
    local job=$1 said
    shift
    said=$(cd "$work" && valgrind --tool=callgrind --callgrind-out-file=/dev/null "$pgstow" "$@" 2>&1 >/dev/null) || {
        echo "$said" >&2
        return 1
    }
    sed -n 's/.*Collected : \([0-9]*\)$/\1/p' <<<"$said" | awk -v job="$job" '{ printf "%s %d\n", job, $1 / 1000000 }'
}

measured=$(
    counted create create postgres -j1 -o rows.sql.gz
    counted create-zstd create postgres -j1 -o rows.sql.zst
    counted create-schema create postgres -s -o schema.sql
    counted verify verify rows.sql.gz
    counted restore restore rows.sql.gz copy -j1 --yes --no-analyze
    counted extract extract rows.sql.gz public.numbers --format csv
    counted replay restore schema.sql replayed --plain --yes
)
compiler=$(rustc --version)

if [ "${1:-}" = --record ]; then
    {
        echo "# Millions of instructions by job: scripts/instructions.sh --record"
        echo "# $compiler, ${features[*]:-without features}"
        echo "$measured"
    } | tee "$RECORD"
    exit
fi

if ! grep -qF "# $compiler, ${features[*]:-without features}" "$RECORD"; then
    echo "on record: $(sed -n 2p "$RECORD"); here: $compiler, ${features[*]:-without features}"
fi
awk -v tolerance="$TOLERANCE" '
    /^#/ { next }
    NR == FNR { recorded[$1] = $2; next }
    !($1 in recorded) { printf "%-14s %8d  not on record\n", $1, $2; failed = 1; next }
    {
        change = 100 * ($2 / recorded[$1] - 1)
        verdict = change > tolerance ? "  too many" : change < -tolerance ? "  fewer: record them" : ""
        printf "%-14s %8d  %+6.1f %%%s\n", $1, $2, change, verdict
        if (change > tolerance) failed = 1
    }
    END { exit failed }' "$RECORD" <(echo "$measured")
