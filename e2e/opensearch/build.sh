#!/usr/bin/env bash
# Fetches the jars of an OpenSearch node from Maven and compiles the small main
# class that starts it, into e2e/.cache/opensearch. Does nothing when that is
# up to date. Needs a JDK (17 or later) and Maven.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
out=$here/../.cache/opensearch

need() {
	if ! command -v "$1" >/dev/null; then
		echo "opensearch: $1 is not on the PATH: install $2" >&2
		exit 1
	fi
}
javac=javac
if [[ -n ${JAVA_HOME:-} && -x $JAVA_HOME/bin/javac ]]; then
	javac=$JAVA_HOME/bin/javac
fi
need "$javac" "a JDK, 17 or later"

want=$(cd "$here" && cat pom.xml build.sh src/main/java/e2e/*.java src/main/resources/* | sha256sum | cut -d' ' -f1)
if [[ -f $out/stamp && $(<"$out/stamp") == "$want" ]]; then
	echo "opensearch: up to date"
	exit 0
fi
need mvn "Maven"

# A folder that is renamed when complete: a build that was broken off is never taken for one.
mkdir -p "$(dirname "$out")"
new=$(mktemp -d "$out.XXXXXX")
trap 'rm -rf "$new"' EXIT

# -C fails on a checksum that does not match; by default an answer is waited for half an hour.
# Some packagings of Maven reset the terminal's colours even into a pipe.
# It overwrites what a run that was broken off has left, as the next one follows it at once.
"$here/../../scripts/again.sh" mvn -B -q -C -Dmaven.wagon.rto=60000 -f "$here/pom.xml" dependency:copy-dependencies \
	-DoverWriteReleases=true -DincludeScope=runtime -DoutputDirectory="$new/lib" 2>&1 | sed $'s/\e\\[[0-9;]*m//g'
mkdir "$new/classes"
"$javac" --release 17 -Xlint:all -Werror -cp "$new/lib/*" -d "$new/classes" "$here"/src/main/java/e2e/*.java
cp "$here"/src/main/resources/* "$new/classes/"
echo "$want" >"$new/stamp"
chmod 755 "$new"

rm -rf "$out"
mv "$new" "$out"
trap - EXIT
echo "opensearch: $(find "$out/lib" -name '*.jar' | wc -l) jars, $(du -sh "$out" | cut -f1)"
