#!/bin/bash
# readme-check.sh [FILE] - run the commands that the README promises, in a copy of the tree.
#
# Every ```sh block needs a comment on the line above it:
#
#   <!-- ci -->            run it; it must end with status 0 within two minutes
#   <!-- ci 300 -->        the same, within 300 seconds
#   <!-- no ci: reason --> do not run it, and say why
#
# A block without either fails the check. Blocks run in order, each in a shell of its own (sh -eu), at the root of one copy
# of the tree, with DEMO_SECONDS set so that "make run" ends; what a block leaves running is ended with it.
set -euo pipefail
cd "$(dirname "$0")/.."
file=${1:-README.md}
if [ ! -f "$file" ]; then
	echo "readme-check: there is no $file" >&2
	exit 1
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/tree" "$work/blocks"
git ls-files -co --exclude-standard -z | xargs -0 -I{} sh -c '[ ! -e "$1" ] || printf "%s\0" "$1"' _ {} |
	tar --null -T - -cf - | tar -xf - -C "$work/tree"

# One file a block: line 1 the mark (or nothing), line 2 the line number, then the commands.
awk -v dir="$work/blocks" '
	/^```sh[ \t]*$/ { out = sprintf("%s/%03d", dir, ++n); print mark > out; print NR > out; next }
	/^```/ && out   { close(out); out = ""; mark = ""; next }
	out             { print > out; next }
	NF              { mark = $0 }
' "$file"

ran=0 skipped=0 bad=0
for block in "$work"/blocks/*; do
	[ -e "$block" ] || break
	mark=$(sed -n 1p "$block") line=$(sed -n 2p "$block") limit=120
	sed -i 1,2d "$block"
	if [[ $mark =~ ^'<!-- ci'(' '([0-9]+))?' -->'$ ]]; then
		limit=${BASH_REMATCH[2]:-$limit}
	elif [[ $mark =~ ^'<!-- no ci: '(.+)' -->'$ ]]; then
		echo "$file:$line: not run: ${BASH_REMATCH[1]}"
		skipped=$((skipped + 1))
		continue
	else
		echo "$file:$line: a sh block needs <!-- ci --> or <!-- no ci: reason --> above it" >&2
		bad=$((bad + 1))
		continue
	fi
	echo "$file:$line: running, $limit s at most"
	sed 's/^/    /' "$block"
	status=0
	(cd "$work/tree" && DEMO_SECONDS=${DEMO_SECONDS:-12} exec setsid timeout -k 10 "$limit" sh -eu "$block") >"$work/log" 2>&1 </dev/null &
	group=$!
	wait $group || status=$?
	kill -TERM -- "-$group" 2>/dev/null || true
	ran=$((ran + 1))
	if [ $status != 0 ]; then
		echo "$file:$line: ended with status $status:" >&2
		tail -n 40 "$work/log" >&2
		bad=$((bad + 1))
	fi
done
echo "$file: $ran blocks run, $skipped not run, $bad bad"
[ $bad = 0 ] && [ $ran -gt 0 ]
