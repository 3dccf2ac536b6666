#!/usr/bin/env bash
# Builds leadline as it is deployed, by profile-guided optimisation: once with counters, which then count what runs under
# some of bench/'s loads, and once more for what was counted. What that is worth is in bench/README.md.
#
#   deploy/pgo.sh [OPTIONS OF THE LAST cargo build, such as --features leadline/kafka]
#
# leadline and leadline-bench are then in target/pgo/. The profile is of the default features: what it has not seen at all
# (Kafka, the stores on servers) is compiled as always.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo=${CARGO:-cargo}
target=${CARGO_TARGET_DIR:-target}
out=$target/pgo
mkdir -p "$out"
out=$(cd "$out" && pwd)
host=$(rustc -vV | sed -n 's/^host: //p')
profdata=$(rustc --print sysroot)/lib/rustlib/$host/bin/llvm-profdata
if [ ! -x "$profdata" ]; then
    rustup component add llvm-tools
fi

# By --target, so that build scripts and macros are built as always.
build() {
    local name=$1 flags=$2
    shift 2
    RUSTFLAGS="${RUSTFLAGS:-} $flags" CARGO_TARGET_DIR="$out/$name" LEADLINE_PGO=$name \
        "$cargo" build --release --locked -p leadline -p leadline-bench --target "$host" "$@"
}

# A profile is that of functions as they are before they are linked, so nothing is optimised over crates here.
CARGO_PROFILE_RELEASE_LTO=off build counting "-Cprofile-generate=$out/counts"
counting=$out/counting/$host/release
profile=$out/$(cat "$counting/leadline" "$counting/leadline-bench" | sha256sum | cut -c1-16).profdata
if [ ! -e "$profile" ]; then
    rm -rf "$out/counts"
    "$counting/leadline-bench" stream memory --events 300000 --rounds 1
    "$counting/leadline-bench" ingest --rounds 1 --seconds 4
    "$counting/leadline-bench" latency --seconds 5
    "$counting/leadline-bench" restart --ids 50000 --restarts 1
    "$profdata" merge -o "$profile.new" "$out/counts"
    mv "$profile.new" "$profile"
fi

build guided "-Cprofile-use=$profile" "$@"
install "$out/guided/$host/release/leadline" "$out/guided/$host/release/leadline-bench" "$out/"
echo "built $out/leadline and $out/leadline-bench"
