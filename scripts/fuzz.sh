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
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
out=$tmp/out
inputs=$("$go" env GOCACHE)/fuzz # where go test -fuzz keeps them

# binary names the test binary of a package.
binary() {
	echo "$tmp/$(echo "$1" | tr / _).test"
}

# The packages are built beside each other before anything runs: go test -fuzz takes one at a time, and most of a build of one
# is the work of a single processor.
for dir in $dirs; do
	printf '%s\n' "$(binary "$dir")" "./$dir"
done | xargs -n 2 -P "$(getconf _NPROCESSORS_ONLN)" "$go" test -c -fuzz . -o

# late tells whether a run failed only because an input was in the works when the time was over, which go test -fuzz takes for a
# failure now and then: it names the deadline and no input.
late() {
	grep -q '^    context deadline exceeded$' "$out" && ! grep -q 'Failing input written\|panic' "$out"
}

# fuzz runs one target as go test -fuzz does: in the folder of its package, where a failing input is written.
fuzz() {
	(
		cd "$1" && "$(binary "$1")" -test.paniconexit0 -test.run '^$' -test.fuzz "^$2\$" -test.fuzztime "$time" \
			-test.fuzzminimizetime 1s -test.fuzzcachedir "$inputs/$("$go" list .)"
	)
}

for dir in $dirs; do
	for name in $(cat "$dir"/*_test.go | sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p'); do
		echo "fuzz $dir $name $time"
		if fuzz "$dir" "$name" >"$out" 2>&1; then
			cat "$out"
		elif late; then
			# Without the lines that say FAIL, which whoever looks for failures would take for one.
			grep '^fuzz: ' "$out" || true
			echo "no input failed; one was in the works when the time was over"
		else
			cat "$out"
			failed="$failed $dir:$name"
		fi
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
