#!/usr/bin/env bash
# Brings a Debian or Ubuntu machine to the point where `make build` works: the development packages of the libraries the gateway links
# against, and a check of the Swift toolchain. With `tests`, also Tests/.venv with the Python packages of the integration tests; with
# `perf`, the peers that Debian has. Idempotent: when everything is there it only asks dpkg once and returns.
set -euo pipefail
cd "$(dirname "$0")/.."

swift_minimum="6.3"
packages=(libc6-dev gcc make pkg-config git ca-certificates liburing-dev libcurl4-openssl-dev libssl-dev libnghttp2-dev zlib1g-dev)
for want in "$@"; do
    case "$want" in
        tests) packages+=(python3 python3-venv curl openssl nghttp2-server nghttp2-client etcd-server etcd-client dnsmasq-base) ;;
        perf) packages+=(python3 python3-venv nginx haproxy wrk nghttp2-client nghttp2-proxy openssl) ;;
        *) echo "setup: unknown part '$want', known: tests, perf" >&2; exit 64 ;;
    esac
done

missing=()
for package in "${packages[@]}"; do
    status="$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null || true)"
    [ "$status" = installed ] || missing+=("$package")
done
if [ "${#missing[@]}" -gt 0 ]; then
    if [ "$(id -u)" = 0 ]; then as_root=(); elif command -v sudo >/dev/null; then as_root=(sudo); else
        echo "setup: these packages are missing and there is neither root nor sudo to install them: ${missing[*]}" >&2
        exit 77
    fi
    echo "setup: installing ${missing[*]}"
    apt_get=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0)
    # A package that brings a service (nginx, haproxy) must not start it: the measurements run their own.
    policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
        printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
        "${as_root[@]}" chmod 755 "$policy"
        trap '"${as_root[@]}" rm -f "$policy"' EXIT
    fi
    "${apt_get[@]}" install -y --no-install-recommends "${missing[@]}" >/dev/null 2>&1 || {
        "${apt_get[@]}" update
        "${apt_get[@]}" install -y --no-install-recommends "${missing[@]}" >/dev/null
    }
fi

if ! command -v swift >/dev/null; then
    echo "setup: no swift on the PATH; install the Swift toolchain $swift_minimum or later (swift.org/install) and put its usr/bin on the PATH" >&2
    exit 69
fi
swift_version="$(swift --version 2>/dev/null | sed -n 's/.*Swift version \([0-9][0-9.]*\).*/\1/p' | head -n 1)"
if [ "$(printf '%s\n%s\n' "$swift_minimum" "$swift_version" | sort -V | head -n 1)" != "$swift_minimum" ]; then
    echo "setup: Swift $swift_version is too old, the gateway needs $swift_minimum or later" >&2
    exit 69
fi

case " $* " in
    *" tests "*)
        # The stamp holds the requirements the environment was made from, so a change of the file renews it and nothing else does.
        if ! cmp -s Tests/requirements.txt Tests/.venv/requirements.stamp; then
            echo "setup: making Tests/.venv"
            python3 -m venv --clear Tests/.venv
            Tests/.venv/bin/python -m pip install --quiet --disable-pip-version-check --requirement Tests/requirements.txt
            cp Tests/requirements.txt Tests/.venv/requirements.stamp
        fi ;;
esac
