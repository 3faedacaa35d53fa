#!/bin/sh
# Restores one backup into the database in DATABASE_URL: checks that the file is there and whole, asks, then drops and
# recreates what the backup holds.
#
#   scripts/restore-db.sh FILE [DB|URL] [options of pgstow restore...]
#   scripts/restore-db.sh /var/backups/jarvis/jarvis-backup-20260114-020000.sql.gz
#
# Settings and program as in backup-db.sh. The exit status is that of pgstow: 4 for damage, 5 if there is no such file.
set -eu

env_file=${PGSTOW_ENV:-/etc/pgstow/pgstow.env}
if [ -r "$env_file" ]; then
    set -a
    # shellcheck disable=SC1090
    . "$env_file"
    set +a
fi
pgstow=${PGSTOW:-pgstow}
command -v "$pgstow" >/dev/null || { echo "error: there is no program $pgstow; set PGSTOW to its path" >&2; exit 1; }

if [ $# -eq 0 ]; then
    echo "usage: $0 FILE [DB|URL] [options of pgstow restore...]" >&2
    exit 2
fi
file=$1
shift
if [ ! -f "$file" ]; then
    echo "error: there is no file $file" >&2
    exit 5
fi

echo "checking $file"
"$pgstow" verify "$file"
# Asks for the name of the database unless --yes is given.
exec "$pgstow" restore "$file" "$@"
