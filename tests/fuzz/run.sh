#!/bin/sh
# Build with AddressSanitizer and UndefinedBehaviorSanitizer and feed mutated packets to the build.
# FUZZ_PACKETS (1000000), FUZZ_SEED (1), FUZZ_PROCESSES (one per core), FUZZ_CASE (this one alone).
set -eu
cd "$(dirname "$0")/../.."
root=$(pwd)
python=$root/${VENV:-.venv}/bin/python
case ${VENV:-} in /*) python=$VENV/bin/python ;; esac

# The runtime must be the one of the compiler that setuptools calls.
compiler=${CC:-$("$python" -c 'import sysconfig; print(sysconfig.get_config_var("CC").split()[0])')}
runtime=$("$compiler" -print-file-name=libasan.so 2>/dev/null || true)
if [ ! -e "$runtime" ]; then
    echo "fuzz: $compiler has no libasan.so here; on Debian it comes with gcc (package libasan8)."
    if [ -n "${CI:-}" ]; then
        exit 1
    fi
    echo 'fuzz: nothing was run'
    exit 0
fi

AJP_SANITIZE=1 "$python" -W ignore setup.py -q build --parallel "$(getconf _NPROCESSORS_ONLN)" \
    --build-base build/sanitize-tmp --build-lib build/sanitize

# PYTHONMALLOC: only memory that malloc handed out has the sanitizer's red zones around it.
# verify_asan_link_order stays on: a runtime that is not the first library sees nothing.
exec env \
    LD_PRELOAD="$runtime" \
    PYTHONMALLOC=malloc \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONPATH="$root/build/sanitize:$root" \
    ASAN_OPTIONS=detect_leaks=0:abort_on_error=1:allocator_may_return_null=1:quarantine_size_mb=64 \
    UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1:abort_on_error=1 \
    "$python" -P -m tests.fuzz.packets "$@"
