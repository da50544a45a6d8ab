#!/bin/sh
# links.sh - every relative link of the documentation leads to a file or folder that is there.
set -eu
cd "$(dirname "$0")/.."
bad=0
for file in $(git ls-files -co --exclude-standard '*.md' ':!config/gen'); do # gen's text becomes a page of docs/
	[ -e "$file" ] || continue
	for link in $(sed 's/`[^`]*`//g' "$file" | grep -oE '\]\([^) ]+\)' | sed 's/^](//; s/)$//; s/#.*//' | sort -u); do
		case $link in
		*://* | mailto:*) continue ;;
		esac
		if [ ! -e "$(dirname "$file")/$link" ]; then
			echo "$file: $link is not there" >&2
			bad=1
		fi
	done
done
exit $bad
