#!/usr/bin/env bash
# Prepares the real servers and clients of the black-box tests in e2e/.cache:
#
#   versity     bin/versitygw, a real S3 server (needs Go)
#   opensearch  opensearch/, the jars of a real OpenSearch (needs a JDK 17 or later and Maven)
#   python      venv/, boto3, the aws CLI, pyarrow and duckdb (needs Python 3.11 or later with venv)
#   node        node/node_modules/, the AWS SDK for JavaScript (needs Node.js 20 or later with npm)
#   java        java/, SDKs for Java, KCL 3 and KPL (needs a JDK 17 or later and Maven)
#   java_more   java/, KCL 2 and Flink, for tests that do not run by default; not among "all parts"
#
# Usage: e2e/setup.sh [PART...]    all parts when none is named
#
# Parts that are up to date are left alone, so it can run before every test. What
# is fetched is fetched again when that fails, for 14 minutes at most; a part that
# was broken off is made anew by the next run.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=$here/.cache
again=$here/../scripts/again.sh
versity_version=v1.8.0
parts=(versity opensearch python node java)
more=(java_more)

need() {
	if ! command -v "$1" >/dev/null; then
		echo "$1 is not on the PATH: install $2" >&2
		return 1
	fi
}

versity() {
	need go "Go" || return
	local binary=$cache/bin/versitygw have
	have=$(go version -m "$binary" 2>/dev/null | awk '$1 == "mod" { print $3 }') || have=
	if [[ $have == "$versity_version" ]]; then
		echo "up to date, $have"
		return
	fi
	# With the versions that the gateway asks for: install takes none from this module. Into a folder beside it, as go
	# copies from one file system to another, and half a program may tell its version.
	local new=$cache/bin/versitygw.new
	{ GOBIN=$new GOFLAGS=-mod=mod CGO_ENABLED=0 \
		"$again" go install -trimpath "github.com/versity/versitygw/cmd/versitygw@$versity_version" 2>&1 |
		{ grep -v '^go: downloading' || true; }; } || return
	mv -f "$new/versitygw" "$binary" || return
	rm -rf "$new"
	echo "built versitygw $versity_version"
}

opensearch() {
	"$here/opensearch/build.sh"
}

java() {
	"$here/java/build.sh" sdk2 sdk2old sdk1 kcl3 kpl
}

java_more() {
	"$here/java/build.sh" kcl2 flink
}

python() {
	need python3 "Python 3.11 or later" || return
	local venv=$cache/venv want
	want=$(python3 --version; sha256sum <"$here/python/requirements.txt")
	if [[ -f $venv/stamp && $(<"$venv/stamp") == "$want" ]]; then
		echo "up to date"
		return
	fi
	rm -rf "$venv"
	python3 -m venv "$venv" || return
	# Wheels only: a package that would have to be compiled is an error at once.
	"$again" "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --only-binary :all: \
		-r "$here/python/requirements.txt" || return
	"$venv/bin/python" -m pip check --disable-pip-version-check || return
	echo "$want" >"$venv/stamp"
	echo "made a virtual environment, $(du -sh "$venv" | cut -f1)"
}

node() {
	need node "Node.js 20 or later" || return
	need npm "npm" || return
	local want dir=$cache/node
	# command, because this function has the program's name.
	want=$(command node --version; cat "$here"/drivers/node/package*.json | sha256sum)
	if [[ -f $dir/stamp && $(<"$dir/stamp") == "$want" ]]; then
		echo "up to date"
		return
	fi
	rm -rf "$dir"
	mkdir -p "$dir"
	cp "$here"/drivers/node/package*.json "$dir"
	# What the lock file names, and no scripts of packages.
	(cd "$dir" && "$again" npm ci --ignore-scripts --no-audit --no-fund --prefer-offline --fetch-timeout=60000 --fetch-retries=4 --loglevel=error) || return
	echo "$want" >"$dir/stamp"
}

run() { # PART: runs it and says what it did and how long it took
	local began=$SECONDS out status=0
	out=$("$1" 2>&1) || status=$?
	while IFS= read -r line; do
		[[ -z $line ]] || echo "$1: ${line#"$1: "}"
	done <<<"$out"
	if ((status != 0)); then
		echo "$1: not ready (status $status) after $((SECONDS - began)) s" >&2
		return "$status"
	fi
	echo "$1: ready after $((SECONDS - began)) s"
}

chosen=("$@")
if ((${#chosen[@]} == 0)); then
	chosen=("${parts[@]}")
fi
for part in "${chosen[@]}"; do
	if [[ ! " ${parts[*]} ${more[*]} " == *" $part "* ]]; then
		echo "setup.sh: no part $part, known are ${parts[*]} ${more[*]}" >&2
		exit 2
	fi
done

mkdir -p "$cache"
pids=()
for part in "${chosen[@]}"; do
	run "$part" &
	pids+=($!)
done
failed=0
for pid in "${pids[@]}"; do
	wait "$pid" || failed=1
done
exit "$failed"
