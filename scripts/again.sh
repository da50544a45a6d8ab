#!/usr/bin/env bash
# again.sh COMMAND... - runs a command that fetches something, and when it fails runs it again: a network or a registry
# that fails for a moment must not fail a build. Four times at most, 5, 15 and 45 s apart, each time for at most
# AGAIN_EACH seconds (600), and all of it for at most AGAIN_ALL seconds (800). The last exit status is its own.
#
# The command must be one that can be broken off and run again.
set -uo pipefail

each=${AGAIN_EACH:-600}
all=${AGAIN_ALL:-800}
status=0
for pause in 5 15 45 end; do
	most=$((all - SECONDS < each ? all - SECONDS : each))
	status=0
	if command -v timeout >/dev/null; then
		# In the process group of who calls, so that all of it ends together.
		timeout --foreground -k 10 "$most" "$@" || status=$?
	else
		"$@" || status=$?
	fi
	if ((status == 0)); then
		exit 0
	fi
	if ((status == 124)); then
		echo "again.sh: $1: not done after $most s" >&2
	fi
	# Interrupted, or not to be found: once more is no use.
	if ((status == 130 || status == 143 || status == 126 || status == 127)); then
		exit "$status"
	fi
	if [[ $pause == end ]] || ((SECONDS + pause >= all)); then
		break
	fi
	echo "again.sh: $1: status $status, once more in $pause s" >&2
	sleep "$pause"
done
exit "$status"
