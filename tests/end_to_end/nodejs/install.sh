#!/bin/sh
# Puts the npm packages that ask.js needs into the folder .node of this checkout.
set -eu
cd "$(dirname "$0")/../../.."
wanted=tests/end_to_end/nodejs/package.json
mkdir -p .node
# What is there whole has been noted at the end of an install; one that was cut off has not.
if cmp -s "$wanted" .node/installed.json; then
    exit 0
fi
cp "$wanted" .node/package.json
# The packages' scripts would only compile what is there as a binary. The time is bounded, since
# tests wait for it.
timeout 300 npm install --prefix .node --ignore-scripts --no-audit --no-fund --no-package-lock \
    --loglevel=error
cp "$wanted" .node/installed.json
