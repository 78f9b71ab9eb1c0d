#!/usr/bin/env bash
# Runs every fuzz target for some seconds: scripts/fuzz.sh SECONDS [NAME…]. A target is a file Tests/Fuzz/NAME.swift that imports ClawWire
# and exports LLVMFuzzerTestOneInput (with @c); ClawWire and CScan are built beside it with the fuzzer's and the address sanitizer's
# instrumentation. What a run discovers is kept in .build/fuzz/corpus/NAME; seeds that belong to the project lie in Tests/Fuzz/seeds/NAME.
# A crash leaves its input in .build/fuzz/NAME-crash-… and fails the run.
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
mkdir -p "$out/modules/CScan"
printf 'module CScan { umbrella "%s/Sources/CScan/include"\n export * }\n' "$PWD" >"$out/modules/CScan/module.modulemap"
flags=(-sanitize=fuzzer,address -use-ld=lld -swift-version 6 -O -g -enforce-exclusivity=checked -I "$out" -I "$out/modules/CScan" -I Sources/CScan/include)

clang -O2 -g -fsanitize=address,fuzzer-no-link -I Sources/CScan/include -c Sources/CScan/scan.c -o "$out/scan.o"
mapfile -t wire < <(find Sources/ClawWire -name '*.swift' | sort)
swiftc "${flags[@]}" -wmo -parse-as-library -emit-library -static -emit-module -emit-module-path "$out/ClawWire.swiftmodule" \
    -module-name ClawWire -o "$out/libClawWire.a" "${wire[@]}"

export SWIFT_BACKTRACE=enable=no ASAN_OPTIONS=detect_leaks=0
for name in "${names[@]}"; do
    swiftc "${flags[@]}" -parse-as-library -module-name "Fuzz$name" "Tests/Fuzz/$name.swift" "$out/libClawWire.a" "$out/scan.o" -o "$out/$name"
    mkdir -p "$out/corpus/$name"
    seeds=()
    [ -d "Tests/Fuzz/seeds/$name" ] && seeds=("Tests/Fuzz/seeds/$name")
    echo "fuzz: $name for $duration s"
    if ! "$out/$name" -max_total_time="$duration" -timeout=10 -rss_limit_mb=2048 -verbosity=0 -print_final_stats=1 \
        -artifact_prefix="$out/$name-" "$out/corpus/$name" "${seeds[@]}" >"$out/$name.log" 2>&1; then
        tail -n 40 "$out/$name.log" >&2
        echo "fuzz: $name failed; the input is in $out/$name-*, the whole log in $out/$name.log" >&2
        exit 1
    fi
    sed -n 's/^stat::number_of_executed_units: */  inputs tried: /p' "$out/$name.log"
done
