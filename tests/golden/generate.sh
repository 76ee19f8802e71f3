#!/bin/sh
# Writes a store of the present build, and the list of its values, into the new directory DIR: store/ and values.tsv.
#   tests/golden/generate.sh DIR [BUILD]
set -eu
mkdir "$1"
ZN_GOLDEN_WRITE="$1" "${2:-build/release}/bin/golden_test"
find "$1/store" -mindepth 1 -type d -empty -delete
