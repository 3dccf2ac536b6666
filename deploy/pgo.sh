#!/usr/bin/env bash
# Builds leadline by profile-guided optimisation: once with counters, which then count what runs under
# some of bench/'s loads, and once more for what was counted. What that is worth is in bench/README.md.
#
# leadline and leadline-bench are then in target/pgo/. FEATURES is what cargo knows as --features: none where it is not
# set; `leadline/kafka,leadline-bench/kafka` runs loads on a broker besides. What no load has run is compiled small, so a
# build with a store on a server would want a load of its own.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo=${CARGO:-cargo}
features=${FEATURES:-}
target=${CARGO_TARGET_DIR:-target}
out=$target/pgo
mkdir -p "$out"
out=$(cd "$out" && pwd)
host=$(rustc -vV | sed -n 's/^host: //p')
profdata=$(rustc --print sysroot)/lib/rustlib/$host/bin/llvm-profdata
if [ ! -x "$profdata" ]; then
    rustup component add llvm-tools
fi

# By --target, so that build scripts and macros are built as always. A profile knows functions by names that all options but
# these flags are a part of: both builds have the same.
build() {
    RUSTFLAGS="${RUSTFLAGS:-} $2" CARGO_TARGET_DIR="$out/$1" LEADLINE_PGO=$1 "$cargo" build --release --locked \
        -p leadline -p leadline-bench ${features:+--features "$features"} --target "$host"
}

build counting "-Cprofile-generate=$out/counts"
counting=$out/counting/$host/release
bench() { "$counting/leadline-bench" "$@"; }
profile=$out/$(cat "$counting/leadline" "$counting/leadline-bench" | sha256sum | cut -c1-16).profdata
if [ ! -e "$profile" ]; then
    rm -rf "$out/counts"
    bench stream memory --events 300000 --rounds 1
    bench ingest --rounds 1 --seconds 4
    bench latency --seconds 5
    bench restart --ids 50000 --restarts 1
    if [[ $features == *leadline/kafka* ]]; then
        bench kafka stream --events 300000 --peers 0
        bench kafka ingest --rounds 1 --seconds 4 --connections 512 --warm-up 0
        bench kafka latency --seconds 5 --warm-up 5
    fi
    "$profdata" merge -o "$profile.new" "$out/counts"
    mv "$profile.new" "$profile"
fi

build guided "-Cprofile-use=$profile"

# Nothing else says so when a profile is of other names than the build that should use it.
decode() { nm "$out/$1/$host/release/leadline-bench" | grep -o '_ZN16leadline_schemas8callrail6decode.*'; }
used=$(decode guided || true)
if [ -n "$used" ] && [ "$used" != "$(decode counting)" ]; then
    echo "the profile was not used: it knows $(decode counting), the last build has $used" >&2
    exit 1
fi
install "$out/guided/$host/release/leadline" "$out/guided/$host/release/leadline-bench" "$out/"
echo "built $out/leadline and $out/leadline-bench"
