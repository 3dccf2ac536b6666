#!/bin/bash
# The share of lines that tests run, for the parts that promise 90%: schemas, operators, engine. Not a part of `make test`.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo=${CARGO:-cargo}
least=${LEAST:-90}
# Lines, not rare orders of events, are counted here: a few seeds run all that more would.
export SIM_SEEDS=${SIM_SEEDS:-50}

if ! $cargo llvm-cov --version >/dev/null 2>&1; then
    $cargo install --locked cargo-llvm-cov || {
        echo "COVERAGE IS NOT MEASURED: cargo-llvm-cov is not here and could not be installed" >&2
        exit 1
    }
fi
# The component belongs to the pinned toolchain.
if ! rustup component list --installed 2>/dev/null | grep -q llvm-tools && ! rustup component add llvm-tools; then
    echo "COVERAGE IS NOT MEASURED: component llvm-tools could not be had for the pinned toolchain" >&2
    exit 1
fi

$cargo llvm-cov clean --workspace
# The simulator and the fuzzer run the engine and the operators as users do; the whole-system tests start a binary of
# their own, which is not counted.
# A test that fails is for `make test` to report; here it must not keep the others from being counted.
$cargo llvm-cov --no-report --ignore-run-fail --locked test -p leadline-schemas -p leadline-operators -p leadline --lib --tests
$cargo llvm-cov --no-report --ignore-run-fail --locked test -p leadline-tests --test sim --test fuzz

report=$(mktemp)
trap 'rm -f "$report"' EXIT
$cargo llvm-cov report --lcov --output-path "$report"
awk -F: -v root="$PWD/" -v least="$least" '
    $1 == "SF" { file = substr($2, length(root) + 1)
        part = file ~ /^schemas\/src\// ? "schemas" : file ~ /^operators\/src\// ? "operators" \
            : file ~ /^topology\/src\/engine\// && file !~ /\/tests\// ? "engine" : "" }
    $1 == "LF" && part { lines[part] += $2; of_file = $2 }
    $1 == "LH" && part { hit[part] += $2; if ($2 < 0.8 * of_file) thin[file] = sprintf("%.0f%%", 100 * $2 / of_file) }
    END {
        for (file in thin) printf "  thin: %s %s\n", thin[file], file
        for (part in lines) {
            percent = 100 * hit[part] / lines[part]
            printf "%-10s %.1f%% of %d lines\n", part, percent, lines[part]
            if (percent < least) low = 1
            parts++
        }
        if (parts != 3) { print "COVERAGE IS NOT MEASURED: " parts + 0 " of 3 parts are in the report"; exit 1 }
        if (low) { print "less than " least "% somewhere: add tests, not exceptions"; exit 1 }
    }' "$report"
echo "measured on $(date +%F) in $SECONDS s"
