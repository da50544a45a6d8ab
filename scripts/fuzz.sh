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
out=$(mktemp)
trap 'rm -f "$out"' EXIT

# late tells whether a run failed only because an input was in the works when the time was over, which go test -fuzz takes for a
# failure now and then: it names the deadline and no input.
late() {
	grep -q '^    context deadline exceeded$' "$out" && ! grep -q 'Failing input written\|panic' "$out"
}

for dir in $dirs; do
	for name in $(cat "$dir"/*_test.go | sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p'); do
		echo "fuzz $dir $name $time"
		if "$go" test -run '^$' -fuzz "^$name\$" -fuzztime "$time" -fuzzminimizetime 1s "./$dir" >"$out" 2>&1; then
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
