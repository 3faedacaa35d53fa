#!/usr/bin/env bash
# Chooses the cargo features of our builds. Source it after scripts/postgres.sh:
#
#   choose_features            # sets the array `features`: (--features isal --workspace), or () and a line that says why
#   cargo build "${features[@]}"

# What ISA-L's build takes: autotools, on x86 an assembler, and a C library to link statically, as its configure tries.
has_isal_tools() {
    local command
    for command in autoreconf automake libtoolize make cc; do
        command -v "$command" >/dev/null 2>&1 || return 1
    done
    if [ "$(uname -m)" = x86_64 ] && ! command -v nasm >/dev/null 2>&1; then return 1; fi
    [ "$(cc -print-file-name=libc.a)" != libc.a ]
}

choose_features() {
    if ! has_isal_tools && may_install_packages; then
        install_packages nasm autoconf automake libtool make gcc libc6-dev || true
    fi
    # shellcheck disable=SC2034
    if has_isal_tools; then
        # The workspace's other crate is the one in front of ISA-L, which cannot be built without.
        features=(--features isal --workspace)
    else
        echo "built without ISA-L, gzip is slower: nasm, autoconf, automake, libtool and make are not all there" >&2
        features=()
    fi
}
