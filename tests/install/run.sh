#!/usr/bin/env bash
# run.sh BUILD_DIR: installs the build under a new prefix, builds embed/ against the installed package, and runs it.
set -euo pipefail
build=$1
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cmake --install "$build" --prefix "$work/prefix" >/dev/null
for program in zn-import zn-server; do "$work/prefix/bin/$program" --help >/dev/null; done
# Nothing private may have slipped among the installed headers.
if find "$work/prefix/include" -name '*.h' ! -path '*/zn/engine/*' | grep .; then
  echo "headers outside zn/engine were installed" >&2; exit 1
fi
cmake -S "$here/embed" -B "$work/embed" -G Ninja -DCMAKE_BUILD_TYPE=Debug -DCMAKE_PREFIX_PATH="$work/prefix" \
      -DCMAKE_CXX_FLAGS="-Wall -Wextra -Werror" >/dev/null
cmake --build "$work/embed"
"$work/embed/embed" "$work/store"
