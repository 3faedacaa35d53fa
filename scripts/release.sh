#!/usr/bin/env bash
# Builds what a release holds: one static binary that runs on any Linux of this architecture, packed with its licence.
#
#   scripts/release.sh           writes dist/pgstow-VERSION-ARCHITECTURE-linux.tar.gz and its .sha256
#
# Needs a Rust toolchain with rustup; installs the rest when it runs as root on Debian or Ubuntu.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/postgres.sh
. scripts/features.sh

need_command musl-gcc musl-tools
choose_features
if [ ${#features[@]} -eq 0 ]; then exit 1; fi

architecture=$(uname -m)
target=$architecture-unknown-linux-musl
rustup target add "$target"
cargo build --release --locked "${features[@]}" --target "$target"

binary=${CARGO_TARGET_DIR:-target}/$target/release/pgstow
if LC_ALL=C ldd "$binary" 2>&1 | grep -q '=>'; then
    echo "$binary wants libraries of the system" >&2
    exit 1
fi
version=$("$binary" --version | sed -n '1s/^pgstow \([^ ]*\).*/\1/p')
name=pgstow-$version-$architecture-linux
mkdir -p dist
tar --create --gzip --file "dist/$name.tar.gz" --owner=0 --group=0 --transform "s,^,$name/," \
    --directory "$(dirname "$binary")" pgstow --directory "$PWD" LICENSE README.md
(cd dist && sha256sum "$name.tar.gz" | tee "$name.tar.gz.sha256")
