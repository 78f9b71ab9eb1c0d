#!/usr/bin/env bash
# HTML reference of the library targets from their doc comments, by the toolchain's own docc: symbol graphs from the build, one static
# site per target in .build/docs. Open it through any static file server.
set -euo pipefail
cd "$(dirname "$0")/.."
graphs=.build/symbol-graphs
docc="$(dirname "$(readlink -f "$(command -v swift)")")/docc"
rm -rf "$graphs" .build/docs
mkdir -p "$graphs" .build/docs
for target in ClawWire ClawConfig ClawEngine ClawLoad; do
    swift build --target "$target" -Xswiftc -emit-symbol-graph -Xswiftc -emit-symbol-graph-dir -Xswiftc "$PWD/$graphs" --scratch-path .build/docs-build
done
for target in ClawWire ClawConfig ClawEngine ClawLoad; do
    mkdir -p "$graphs/$target"
    mv "$graphs/$target".symbols.json "$graphs/$target"@*.symbols.json "$graphs/$target/" 2>/dev/null || true
    "$docc" convert --additional-symbol-graph-dir "$graphs/$target" --fallback-display-name "$target" --fallback-bundle-identifier "$target" \
        --output-path ".build/docs/$target" --hosting-base-path "$target" >/dev/null
    echo "docs: .build/docs/$target"
done
