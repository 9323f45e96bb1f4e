#!/bin/sh
# Puts the npm packages that ask.js needs into the folder .node of this checkout.
set -eu
cd "$(dirname "$0")/../../.."
mkdir -p .node
if [ -d .node/node_modules/zeromq ] && cmp -s tests/end_to_end/nodejs/package.json .node/package.json
then
    exit 0
fi
cp tests/end_to_end/nodejs/package.json .node/package.json.new
mv .node/package.json.new .node/package.json
# The packages' scripts would only compile what is there as a binary. The time is bounded, since
# tests wait for it.
timeout 300 npm install --prefix .node --ignore-scripts --no-audit --no-fund --no-package-lock \
    --loglevel=error
