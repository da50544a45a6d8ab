#!/usr/bin/env bash
# Fetches the jars of Java clients from Maven and compiles the drivers against
# them, into e2e/.cache/java/MODULE. Does nothing for a module that is up to date.
# Needs a JDK (17 or later) and, when there is something to fetch, Maven.
#
# Usage: build.sh MODULE...    the modules of pom.xml
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
out=$here/../.cache/java

need() {
	if ! command -v "$1" >/dev/null; then
		echo "java: $1 is not on the PATH: install $2" >&2
		exit 1
	fi
}
javac=javac
if [[ -n ${JAVA_HOME:-} && -x $JAVA_HOME/bin/javac ]]; then
	javac=$JAVA_HOME/bin/javac
fi
need "$javac" "a JDK, 17 or later"

sources() { # MODULE: the sources of its driver
	local shared=("$here"/src/conformance/{Kinesis,Records,Scenario,Driver}.java)
	case $1 in
	sdk1) ls "${shared[@]}" "$here"/src/conformance/Sdk1.java ;;
	sdk2) ls "${shared[@]}" "$here"/src/conformance/Sdk2{,Sync,Async,Tags,Driver}.java ;;
	sdk2old) ls "${shared[@]}" "$here"/src/conformance/Sdk2{,Sync,Async,OldDriver}.java ;;
	kcl2 | kcl3) ls "$here"/src/kcl/*.java "$here/src/$1"/*.java ;;
	*) ls "$here/src/$1"/*.java ;;
	esac
}

digest() { sha256sum | cut -d' ' -f1; }
stamped() { [[ -f $1/stamp && $(<"$1/stamp") == "$2" ]]; }

missing=()
for module; do
	if [[ ! -f $here/$module/pom.xml ]]; then
		echo "java: no module $module" >&2
		exit 2
	fi
	jars=$(cat "$here/pom.xml" "$here/$module/pom.xml" | digest)
	stamped "$out/$module/lib" "$jars" || missing+=("$module")
done
mkdir -p "$out"
new=$(mktemp -d "$out/new.XXXXXX")
trap 'rm -rf "$new"' EXIT

if ((${#missing[@]})); then
	need mvn "Maven"
	# -C fails on a checksum that does not match; by default an answer is waited for half an hour.
	# Some packagings of Maven reset the terminal's colours even into a pipe.
	# It overwrites what a run that was broken off has left, as the next one follows it at once.
	"$here/../../scripts/again.sh" mvn -B -q -C -Dmaven.wagon.rto=60000 -f "$here/pom.xml" -pl "$(IFS=,; echo "${missing[*]}")" dependency:copy-dependencies \
		-DoverWriteReleases=true -DincludeScope=runtime "-DoutputDirectory=$new/\${project.artifactId}" 2>&1 | sed $'s/\e\\[[0-9;]*m//g'
	for module in "${missing[@]}"; do
		cat "$here/pom.xml" "$here/$module/pom.xml" | digest >"$new/$module/stamp"
		mkdir -p "$out/$module"
		rm -rf "$out/$module/lib"
		mv "$new/$module" "$out/$module/lib"
		rm -rf "$out/$module/classes"
	done
fi

for module; do
	mapfile -t files < <(sources "$module")
	want=$(cat "$here/build.sh" "$out/$module/lib/stamp" "${files[@]}" | digest)
	if stamped "$out/$module/classes" "$want"; then
		echo "java: $module is up to date"
		continue
	fi
	mkdir "$new/classes"
	# Jars of others name classes and annotations that are not among them.
	"$javac" --release 17 -proc:none -Xlint:all,-classfile,-processing,-path -Werror \
		-cp "$out/$module/lib/*" -d "$new/classes" "${files[@]}"
	echo "$want" >"$new/classes/stamp"
	rm -rf "$out/$module/classes"
	mv "$new/classes" "$out/$module/classes"
	echo "java: $module, $(find "$out/$module/lib" -name '*.jar' | wc -l) jars, $(du -sh "$out/$module" | cut -f1)"
done
