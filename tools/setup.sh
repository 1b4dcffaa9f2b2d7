#!/usr/bin/env bash
# Make this checkout ready to run: Debian packages (compilers, emulator), then .venv from requirements.lock.
# Safe to repeat and to interrupt: what is in place is left alone, a half-made .venv is made anew.
# PYTHON names the interpreter to build .venv from (default: python3, else python3.13, 3.12, 3.11).
set -euo pipefail
cd "$(dirname "$0")/.."

venv=.venv
stamp=$venv/set-up # written last: its presence says that .venv is whole, its content what it was made from

say() { printf 'set-up: %s\n' "$*" >&2; }
fail() {
    say "$*"
    exit 1
}

# Print the path of a supported interpreter; the one that .venv was made from comes before all but PYTHON.
find_python() {
    local candidate
    # sys._base_executable: not a shim, and not .venv's own link, which is about to be replaced.
    for candidate in ${PYTHON:-"$venv/bin/python" python3 python3.13 python3.12 python3.11}; do
        "$candidate" -c 'import sys; (3, 11) <= sys.version_info < (3, 14) or sys.exit(1); print(sys._base_executable)' \
            2>/dev/null && return
    done
    if [ -n "${PYTHON:-}" ]; then fail "PYTHON=$PYTHON is not Python 3.11, 3.12 or 3.13; name one that is."; fi
    fail "found no Python 3.11, 3.12 or 3.13; install one, then name it: make setup PYTHON=/path/to/python3.12"
}

# Print the Debian packages that provide what is missing here, one a line.
missing_packages() {
    local c_program='#include <string.h>'
    command -v gcc >/dev/null || echo gcc
    command -v g++ >/dev/null || echo g++
    command -v clang++ >/dev/null || echo clang
    command -v cmake >/dev/null || echo cmake
    command -v npm >/dev/null || echo npm
    gcc -E -xc - <<<"$c_program" >/dev/null 2>&1 || echo libc6-dev
    command -v xtensa-lx106-elf-gcc >/dev/null || echo gcc-xtensa-lx106
    command -v xtensa-lx106-elf-as >/dev/null || echo binutils-xtensa-lx106
    xtensa-lx106-elf-gcc -E -xc - <<<"$c_program" >/dev/null 2>&1 || echo picolibc-xtensa-lx106-elf
    command -v qemu-system-xtensa >/dev/null || echo qemu-system-misc
    # Debian ships ensurepip, which `python -m venv` needs, in a package of its own.
    "$python" -c 'import ensurepip' 2>/dev/null ||
        "$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])'
}

install_packages() {
    local by_hand="install these packages, then repeat: apt-get install --no-install-recommends $*"
    local apt_get=(env DEBIAN_FRONTEND=noninteractive apt-get -qq)
    command -v apt-get >/dev/null || fail "$by_hand (or what your system calls them)"
    if [ "$(id -u)" -ne 0 ]; then
        sudo -n true 2>/dev/null || fail "$by_hand"
        apt_get=(sudo -n "${apt_get[@]}")
    fi
    local install=("${apt_get[@]}" install -y --no-install-recommends "$@")
    say "installing with apt: $*"
    # Package lists are fetched only where those at hand will not do.
    "${install[@]}" </dev/null >/dev/null 2>&1 ||
        { "${apt_get[@]}" update </dev/null >&2 && "${install[@]}" </dev/null >&2; } ||
        fail "apt could not; $by_hand"
}

# Print what .venv depends on: interpreter and place (scripts hold absolute paths), then pins and entry points.
identity() {
    "$python" -c 'import os, sys; print(sys.version.split()[0], sys.base_prefix, os.getcwd())'
    sha256sum requirements.lock pyproject.toml
}

build_venv() {
    local pip=("$venv/bin/python" -m pip --disable-pip-version-check --no-input -qq)
    if [ "$(head -n 1 "$stamp" 2>/dev/null)" = "$(head -n 1 <<<"$1")" ]; then
        say "bringing $venv up to date with requirements.lock"
        rm "$stamp"
    else
        say "making $venv with $("$python" --version): some minutes and 4 GB (more with a CUDA build of torch)"
        rm -f "$stamp" # before --clear, which could be interrupted
        "$python" -m venv --clear "$venv"
    fi
    "${pip[@]}" install -r requirements.lock
    "${pip[@]}" install --no-deps --no-build-isolation --editable .
    "${pip[@]}" check >&2
    printf '%s\n' "$1" >"$stamp"
}

exec 9<requirements.lock
flock 9 # of two set-ups at once the second waits, then finds all in place

python=$(find_python)

mapfile -t packages < <(missing_packages)
if [ ${#packages[@]} -gt 0 ]; then install_packages "${packages[@]}"; fi

"$venv/bin/python" -c '' 2>/dev/null || rm -f "$stamp"
wanted=$(identity)
if [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ]; then build_venv "$wanted"; fi
