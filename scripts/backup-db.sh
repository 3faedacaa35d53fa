#!/bin/sh
# Makes one backup set of the database in DATABASE_URL, below BACKUP_DIR (default /var/backups/NAME).
#
#   scripts/backup-db.sh [manual|daily|weekly|monthly] [options of pgstow create...]
#
# Settings may stand in a file of NAME=VALUE lines: PGSTOW_ENV (default /etc/pgstow/pgstow.env).
# The program is PGSTOW (default: pgstow in PATH). The exit status is that of pgstow create.
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

kind=manual
case ${1:-} in
    manual | daily | weekly | monthly) kind=$1; shift ;;
esac
exec "$pgstow" create --kind "$kind" "$@"
