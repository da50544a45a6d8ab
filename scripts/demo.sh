#!/bin/sh
# demo.sh - what "make run" shows: the daemon on config.example.yaml, a real access log followed, records put through the
# Firehose API, and the files that come out. Needs nothing but bin/firehosed and a shell.
#
# Ctrl-C ends it; DEMO_SECONDS=n ends it after n seconds. DEMO_DIR is where it runs (default: the repository), so that
# ./out and ./firehosed-data of the example configuration lie there.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
dir=${DEMO_DIR:-$root}
seconds=${DEMO_SECONDS:-0}
bin=$root/bin/firehosed
endpoint=http://127.0.0.1:4573
log=$root/bin/demo.log

cd "$dir"
say() { printf '%s\n' "$*"; }

if "$bin" healthcheck --endpoint "$endpoint" >/dev/null 2>&1; then
	say "A firehosed already answers on $endpoint; stop that one first." >&2
	exit 1
fi

daemon=
seen=$(mktemp)
stop() {
	trap - INT TERM EXIT
	if [ -n "$daemon" ] && kill -0 "$daemon" 2>/dev/null; then
		say ""
		say "Stopping: what was acknowledged stays in ./firehosed-data and is delivered after the next start."
		kill -TERM "$daemon"
		wait "$daemon" || say "The daemon ended with an error; its last words are in $log." >&2
	fi
	rm -f "$seen" "$seen.new"
}
trap 'stop; exit 0' INT TERM
trap 'stop' EXIT

files() { find out -type f ! -name '.*' ! -name '*.tmp' 2>/dev/null | sort; }
files >"$seen"
old=$(wc -l <"$seen")

say "Starting:  firehosed run -c config.example.yaml   (its log: $log)"
"$bin" run -c config.example.yaml >"$log" 2>&1 &
daemon=$!
tries=0
until "$bin" healthcheck --endpoint "$endpoint" >/dev/null 2>&1; do
	tries=$((tries + 1))
	if ! kill -0 "$daemon" 2>/dev/null || [ "$tries" -gt 150 ]; then
		say "The daemon did not become ready. It said:" >&2
		tail -n 20 "$log" >&2
		exit 1
	fi
	sleep 0.1
done

events() { # events FROM COUNT
	n=$1
	while [ "$n" -lt $(($1 + $2)) ]; do
		printf '{"id":%d,"event":"order","amount":%d.50,"sent_by":"demo"}\n' "$n" $((n * 7 % 90))
		n=$((n + 1))
	done
}

cat <<TEXT
Ready on $endpoint (one port for the Kinesis API, the Firehose API, /health and /metrics).

It follows testdata/logs/access.log, the log of a real Apache, and takes records for the delivery stream "events".
Every record is on disk before it is acknowledged; then it is transformed, converted, compressed and written below ./out.

Putting 20 records:  firehosed put --delivery-stream events
TEXT
events 1 20 | "$bin" put --endpoint "$endpoint" --delivery-stream events -
cat <<TEXT

Put some yourself from another terminal, with curl:

  curl -s $endpoint/ -H 'Content-Type: application/x-amz-json-1.1' -H 'X-Amz-Target: Firehose_20150804.PutRecord' -d '{"DeliveryStreamName":"events","Record":{"Data":"eyJoZWxsbyI6ImN1cmwifQo="}}'

or with the aws CLI (version 1 does not know --cli-binary-format: leave it out there):

  AWS_ACCESS_KEY_ID=any AWS_SECRET_ACCESS_KEY=any aws firehose put-record-batch --region us-east-1 --endpoint-url $endpoint --delivery-stream-name events --cli-binary-format raw-in-base64-out --records '[{"Data":"{\"hello\":\"aws\"}\n"}]'

TEXT
if [ "$old" -gt 0 ]; then
	say "Files below ./out ($old are there from before; firehosed-data remembers how far each delivery came):"
else
	say "Files below ./out as they appear:"
fi

next=21
turn=0
while kill -0 "$daemon" 2>/dev/null; do
	files >"$seen.new"
	comm -13 "$seen" "$seen.new" | while read -r file; do
		printf '  %s  %9d bytes  %s\n' "$(date +%H:%M:%S)" "$(wc -c <"$file")" "$file"
	done
	mv "$seen.new" "$seen"
	if [ "$seconds" -gt 0 ] && [ "$turn" -ge "$seconds" ]; then
		exit 0
	fi
	turn=$((turn + 1))
	if [ $((turn % 5)) = 0 ]; then
		events "$next" 5 | "$bin" put --endpoint "$endpoint" --delivery-stream events - >/dev/null || say "Put refused: see $log."
		next=$((next + 5))
	fi
	sleep 1
done
say "The daemon ended by itself. It said:" >&2
tail -n 20 "$log" >&2
exit 1
