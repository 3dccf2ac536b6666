#!/bin/bash
# Fuzzes every target, two at a time. SECONDS_EACH: the time of each. With a nightly toolchain and cargo-fuzz the search
# is libFuzzer's, which follows the code; elsewhere, and in CI (RUNNER=built-in), it is the one in main.rs.
set -euo pipefail
cd "$(dirname "$0")/../.."
seconds=${SECONDS_EACH:-30}
cargo=${CARGO:-cargo}
targets=$(sed -n 's/^name = "\(.*\)"$/\1/p' tests/fuzz/Cargo.toml | grep -v leadline-fuzz)

if [ "${RUNNER:-}" != built-in ] && $cargo +nightly fuzz --version >/dev/null 2>&1; then
    echo "fuzz: libFuzzer, $seconds s a target, two at a time"
    export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/libfuzzer"
    (cd tests && $cargo +nightly fuzz build --sanitizer none)
    # Inputs that libFuzzer finds interesting stay beside the build; only those of the corpus are kept.
    found="$CARGO_TARGET_DIR/corpus"
    for target in $targets; do mkdir -p "$found/$target"; done
    export found seconds cargo
    echo "$targets" | xargs -P 2 -I {} sh -c 'cd tests && $cargo +nightly fuzz run --sanitizer none {} \
        "$found/{}" "fuzz/corpus/{}" -- -max_total_time="$seconds" -max_len=65536 -timeout=10 \
        -rss_limit_mb=1024 -print_final_stats=1 -verbosity=0'
else
    if [ "${RUNNER:-}" != built-in ]; then
        echo "fuzz: no nightly toolchain with cargo-fuzz here (rustup toolchain install nightly; cargo install cargo-fuzz):"
    fi
    echo "fuzz: the built-in runner, $seconds s a target, two at a time, seed ${LEADLINE_FUZZ_SEED:=$(date +%s)}"
    export LEADLINE_FUZZ_SEED LEADLINE_FUZZ_SECONDS=$seconds
    $cargo test --locked -q -p leadline-tests --test fuzz --no-run
    echo "$targets" | xargs -P 2 -I {} $cargo test --locked -q -p leadline-tests --test fuzz -- {}
fi
