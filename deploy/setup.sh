#!/usr/bin/env bash
# Installs what building leadline needs and is not there: C and C++ compilers (SQLite, ring; librdkafka), the headers of
# OpenSSL and zlib (librdkafka) and the Rust toolchain. With `tests`, also what the servers that tests start need: a Java
# runtime and Maven, for Kafka and Cassandra; Go, for a server of Google Cloud Storage's interface; PostgreSQL, for one of
# Cloud Spanner's; aiosmtpd, for mail; a voice and Python, for a whisper model.
set -euo pipefail
cd "$(dirname "$0")/.."

missing=()
command -v cc >/dev/null || missing+=(gcc libc6-dev)
command -v c++ >/dev/null || missing+=(g++)
command -v pkg-config >/dev/null || missing+=(pkg-config)
[ -e /usr/include/openssl/ssl.h ] || missing+=(libssl-dev)
[ -e /usr/include/zlib.h ] || missing+=(zlib1g-dev)
command -v make >/dev/null || missing+=(make)
command -v curl >/dev/null || missing+=(curl ca-certificates)
if [ "${1:-}" = tests ]; then
    command -v java >/dev/null || missing+=(openjdk-17-jre-headless)
    command -v mvn >/dev/null || missing+=(maven)
    /usr/bin/python3 -c "import aiosmtpd" 2>/dev/null || missing+=(python3-aiosmtpd openssl)
    command -v espeak-ng >/dev/null || missing+=(espeak-ng)
    python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)
    # Debian keeps a server's programs out of the path.
    ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || command -v initdb >/dev/null || missing+=(postgresql)
    command -v go >/dev/null || command -v unzip >/dev/null || missing+=(unzip)
fi
if [ ${#missing[@]} -gt 0 ]; then
    if ! command -v apt-get >/dev/null; then
        echo "leadline needs: ${missing[*]}; install them with your package manager" >&2
        exit 1
    fi
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends "${missing[@]}"
fi

if [ "${1:-}" = tests ] && ! command -v go >/dev/null && [ -x /usr/local/go/bin/go ]; then
    ln -sf /usr/local/go/bin/go /usr/local/bin/go # Its usual place, and not in the path.
fi
if [ "${1:-}" = tests ] && ! command -v go >/dev/null; then
    # Debian's Go is too old for the server that tests build; Go's module proxy has the Go project's own toolchains.
    case "$(uname -m)" in
        x86_64) machine=amd64 ;;
        aarch64) machine=arm64 ;;
        *) echo "leadline's tests need Go 1.26: install it" >&2; exit 1 ;;
    esac
    name="golang.org/toolchain@v0.0.1-go1.26.0.linux-$machine"
    folder=$(mktemp -d)
    proxy=${GOPROXY:-https://proxy.golang.org}
    curl -sSf -o "$folder/go.zip" "${proxy%%,*}/${name/@//@v/}.zip"
    unzip -q "$folder/go.zip" -d "$folder"
    mkdir -p /usr/local/go
    cp -a "$folder/$name/." /usr/local/go/
    chmod -R a+rX /usr/local/go
    chmod +x /usr/local/go/bin/* "/usr/local/go/pkg/tool/linux_$machine/"*
    ln -sf /usr/local/go/bin/go /usr/local/bin/go
    rm -rf "$folder"
fi

export PATH="$HOME/.cargo/bin:$PATH"
if ! command -v cargo >/dev/null; then
    # Debian's rustup where there is one, else the installer of the Rust project.
    if command -v apt-get >/dev/null && apt-get install -y -qq --no-install-recommends rustup >/dev/null 2>&1; then
        :
    else
        curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y --profile minimal --default-toolchain none
    fi
fi
toolchain=$(sed -n 's/^channel = "\(.*\)"/\1/p' rust-toolchain.toml)
if command -v rustup >/dev/null && ! rustup toolchain list | grep -q "^$toolchain"; then
    rustup toolchain install "$toolchain" --profile minimal --component rustfmt --component clippy
fi
