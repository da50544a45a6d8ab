#!/bin/sh
# fuzz.sh - run every fuzz target of the module for FUZZTIME each (default 30s); a package or two may be named instead.
set -eu
cd "$(dirname "$0")/.."
go=${GO:-go}
time=${FUZZTIME:-30s}

if [ $# -gt 0 ]; then
	dirs=$*
else
	dirs=$(git ls-files -co --exclude-standard '*_test.go' | grep -v '^e2e/' | xargs grep -l '^func Fuzz' /dev/null | xargs -n1 dirname | sort -u)
fi

ran=0 failed=
for dir in $dirs; do
	for name in $(cat "$dir"/*_test.go | sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p'); do
		echo "fuzz $dir $name $time"
		"$go" test -run '^$' -fuzz "^$name\$" -fuzztime "$time" "./$dir" || failed="$failed $dir:$name"
		ran=$((ran + 1))
	done
done
echo "$ran fuzz targets, $time each"
if [ -n "$failed" ]; then
	echo "failing:$failed (the input is in that package's testdata/fuzz)" >&2
	exit 1
fi
if [ "$ran" = 0 ]; then
	echo "no fuzz target found" >&2
	exit 1
fi
