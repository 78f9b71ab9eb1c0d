#!/usr/bin/env bash
# Runs every fuzz target for some seconds: scripts/fuzz.sh SECONDS [NAME…]. A target is a file Tests/Fuzz/NAME.swift that exports
# LLVMFuzzerTestOneInput (with @c) and imports ClawWire, ClawDialect, ClawPolicy or ClawConfig; these, CScan, libyaml and claw_h2 of CClaw (which HTTP2 imports)
# are built beside it with the fuzzer's and the address sanitizer's instrumentation. Targets that speak of dialects have Tests/Fuzz/Dialect with them. What a run discovers is kept in .build/fuzz/corpus/NAME; seeds that belong to the project lie in
# Tests/Fuzz/seeds/NAME, those of the test suites in ../shared/suites (or $OPENCLAW_SHARED/suites) are used when they are there.
# A crash leaves its input in .build/fuzz/NAME-crash-… and fails the run; .build/fuzz/NAME INPUT plays it again.
set -euo pipefail
cd "$(dirname "$0")/.."
duration="${1:?usage: scripts/fuzz.sh SECONDS [NAME…]}"
shift
names=("$@")
if [ "${#names[@]}" = 0 ]; then
    for file in Tests/Fuzz/*.swift; do [ -e "$file" ] && names+=("$(basename "$file" .swift)"); done
fi
[ "${#names[@]}" -gt 0 ] || { echo "fuzz: no targets in Tests/Fuzz" >&2; exit 66; }

out=.build/fuzz
yaml=.build/checkouts/Yams/Sources/CYaml
[ -d "$yaml" ] || swift package resolve
mkdir -p "$out/modules/CScan" "$out/modules/CClaw" "$out/objects"
printf 'module CScan { umbrella "%s/Sources/CScan/include"\n export * }\n' "$PWD" >"$out/modules/CScan/module.modulemap"
printf 'module CClaw { header "%s/Sources/CClaw/include/claw_h2.h"\n export * }\n' "$PWD" >"$out/modules/CClaw/module.modulemap"
flags=(-sanitize=fuzzer,address -use-ld=lld -swift-version 6 -O -g -enforce-exclusivity=checked -enable-testing -I "$out"
    -I "$out/modules/CScan" -I "$out/modules/CClaw" -I Sources/CScan/include -I "$yaml/include")

# What is older than its sources is built anew.
is_current() {
    local product="$1"
    shift
    [ -e "$product" ] && [ -z "$(find "$@" scripts/fuzz.sh -newer "$product" -print -quit)" ]
}

objects=()
for source in Sources/CScan/*.c "$yaml"/src/*.c; do
    object="$out/objects/$(basename "$source" .c).o"
    objects+=("$object")
    is_current "$object" Sources/CScan "$source" ||
        clang -O2 -g -DHAVE_CONFIG_H=0 -fsanitize=address,fuzzer-no-link -I Sources/CScan/include -I "$yaml/include" -w -c "$source" -o "$object"
done
for source in Sources/CClaw/claw_h2*.c; do
    object="$out/objects/$(basename "$source" .c).o"
    objects+=("$object")
    is_current "$object" Sources/CClaw || clang -O2 -g -D_GNU_SOURCE -fsanitize=address,fuzzer-no-link -I Sources/CClaw/include -c "$source" -o "$object"
done
library() {
    local name="$1"
    shift
    is_current "$out/lib$name.a" "$@" && return
    mapfile -t sources < <(find "Sources/$name" -name '*.swift' | sort)
    swiftc "${flags[@]}" -wmo -parse-as-library -emit-library -static -emit-module -emit-module-path "$out/$name.swiftmodule" \
        -module-name "$name" -o "$out/lib$name.a" "${sources[@]}"
}
library ClawWire Sources/ClawWire Sources/CScan
library ClawDialect Sources/ClawDialect Sources/ClawWire Sources/CScan
library ClawPolicy Sources/ClawPolicy Sources/ClawWire Sources/CScan
library ClawConfig Sources/ClawConfig Sources/ClawDialect Sources/ClawPolicy Sources/ClawWire

shared="${OPENCLAW_SHARED:-../shared}/suites"
if [ -d "$shared" ] && command -v python3 >/dev/null; then
    is_current "$out/suites" Tests/Fuzz/suites.py || { rm -rf "$out/suites" && python3 Tests/Fuzz/suites.py "$shared" "$out/suites"; }
else
    echo "fuzz: no test suites at $shared, only the project's own seeds are used"
fi

export SWIFT_BACKTRACE=enable=no ASAN_OPTIONS=detect_leaks=0
for name in "${names[@]}"; do
    support=(Tests/Fuzz/Support)
    case "$name" in Dialect* | Scanners) support+=(Tests/Fuzz/Dialect) ;; esac
    # Of the engine only what reads a described request, which needs nothing else of it.
    [ "$name" = Scanners ] && support+=(Sources/ClawEngine/Routing/Explain/DescribedRequest.swift Sources/ClawEngine/Routing/Explain/DescribedRequest+JSON.swift)
    libraries=("$out/libClawConfig.a" "$out/libClawPolicy.a" "$out/libClawDialect.a" "$out/libClawWire.a" "${objects[@]}")
    if ! is_current "$out/$name" "Tests/Fuzz/$name.swift" "${support[@]}" "${libraries[@]}"; then
        mapfile -t sources < <(find "${support[@]}" -name '*.swift' | sort)
        swiftc "${flags[@]}" -wmo -parse-as-library -module-name "Fuzz$name" "Tests/Fuzz/$name.swift" "${sources[@]}" \
            "${libraries[@]}" -lnghttp2 -emit-executable -emit-module -emit-module-path "$out/modules/Fuzz$name.swiftmodule" -o "$out/$name"
    fi
    mkdir -p "$out/corpus/$name"
    seeds=()
    for folder in "Tests/Fuzz/seeds/$name" "$out/suites/$name"; do [ -d "$folder" ] && seeds+=("$folder"); done
    [ "$name" = Configuration ] && seeds+=(examples)
    # A long pattern is many patterns in one and takes a millisecond for each.
    case "$name" in Regex) options=(-max_len=128) ;; Dialect*) options=(-max_len=8192) ;; *) options=(-max_len=4096) ;; esac
    [ -e "Tests/Fuzz/seeds/$name.dictionary" ] && options+=(-dict="Tests/Fuzz/seeds/$name.dictionary")
    echo "fuzz: $name for $duration s"
    if ! "$out/$name" -max_total_time="$duration" -timeout=10 -rss_limit_mb=2048 -verbosity=0 -print_final_stats=1 \
        "${options[@]}" -artifact_prefix="$out/$name-" "$out/corpus/$name" "${seeds[@]}" >"$out/$name.log" 2>&1; then
        tail -n 40 "$out/$name.log" >&2
        echo "fuzz: $name failed; the input is in $out/$name-*, the whole log in $out/$name.log" >&2
        exit 1
    fi
    sed -n 's/^stat::number_of_executed_units: */  inputs tried: /p' "$out/$name.log"
done
