#!/bin/bash
# check.sh [--e2e] - everything CI looks at, step by step, each with its time limit. It goes on after a failing step so that
# one run tells all, and ends with the times, the skipped tests and the sum of the tests:
#
#   N passed, N failed, N skipped
#
# Its exit status is 0 only if every step passed.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
root=$PWD
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

with_e2e=no
[ "${1:-}" = --e2e ] && with_e2e=yes

names=() times=() results=() failed=0
step() { # step NAME SECONDS COMMAND...
	local name=$1 limit=$2 start=$SECONDS status=0
	shift 2
	echo
	echo "=== $name (at most $limit s)"
	timeout -k 15 "$limit" "$@" </dev/null || status=$?
	names+=("$name") times+=($((SECONDS - start)))
	case $status in
	0) results+=(ok) ;;
	124 | 137) results+=("TIME OUT after $limit s") failed=$((failed + 1)) ;;
	*) results+=("FAILED (status $status)") failed=$((failed + 1)) ;;
	esac
	[ $status = 0 ] || echo "=== $name: ${results[-1]}"
}

# The test runs write their results here and the report at the end adds them up.
totals=$work/totals
: >"$totals"
gotest="$work/testsum run -totals $totals -- go test -json"
go build -o "$work/testsum" ./scripts/testsum || exit 1

# What the steps behind it would fetch. Of the other modules only what their packages need.
modules() {
	AGAIN_ALL=300 bash scripts/again.sh go mod download || return 1
	local module
	for module in e2e bench/baselines; do
		AGAIN_ALL=120 bash scripts/again.sh go -C "$module" list -deps -test ./... >"$work/packages" || return 1
	done
}

static_binary() {
	file -b bin/firehosed
	case $(file -b bin/firehosed) in
	*"statically linked"*) ;;
	*) echo "bin/firehosed is not statically linked" && return 1 ;;
	esac
	if ldd bin/firehosed >"$work/ldd" 2>&1; then
		echo "ldd finds libraries:" && cat "$work/ldd" && return 1
	fi
	if grep -qaF "$root/" bin/firehosed; then
		echo "bin/firehosed names the folder it was built in" && return 1
	fi
	bin/firehosed version
}

configurations() {
	local file
	for file in config.example.yaml deploy/config.yaml; do
		bin/firehosed check -c "$file" || return 1
	done
}

demo() { # as "make run", in a copy, so that a developer's own ./out stays as it is
	mkdir "$work/demo"
	cp -R config.example.yaml testdata "$work/demo/"
	DEMO_DIR=$work/demo DEMO_SECONDS=20 make run || return 1
	local kind found
	for kind in parquet gz; do
		found=$(find "$work/demo/out" -type f -name "*.$kind" | wc -l)
		echo "$found files named *.$kind"
		[ "$found" -gt 0 ] || return 1
	done
}
export root work
export -f modules static_binary configurations demo

step "go mod download" 600 bash -c modules
step "gofmt" 60 make fmt-check
step "vet" 900 make vet
step "lint" 900 make lint
step "build" 900 make build
step "static binary" 60 bash -c static_binary
step "configurations" 60 bash -c configurations
step "test" 900 make test GOTEST="$gotest"
step "race" 900 make race GOTEST="$gotest"
step "crash" 600 make crash CRASHSEEDS="${CRASHSEEDS:-500}" GOTEST="$gotest"
step "fuzz" 900 make fuzz FUZZTIME="${FUZZTIME:-5s}"
step "unit file" 60 systemd-analyze security --offline=true --threshold=20 --no-pager deploy/firehosed.service
step "make run" 120 bash -c demo
step "links" 60 sh scripts/links.sh
step "README commands" 900 bash scripts/readme-check.sh
if [ $with_e2e = yes ]; then
	step "e2e set-up" 900 bash e2e/setup.sh
	step "e2e" 1260 env E2E_REQUIRED=1 make e2e GOTEST="$gotest"
fi

echo
echo "=== times"
for i in "${!names[@]}"; do
	printf '%6d s  %-18s %s\n' "${times[$i]}" "${names[$i]}" "${results[$i]}"
done
printf '%6d s  in all\n' "$SECONDS"
[ $failed = 0 ] || echo "$failed steps failed"
[ $with_e2e = yes ] || echo "SKIP e2e: .ci/run runs it"
"$work/testsum" report "$totals" || failed=1
[ $failed = 0 ]
