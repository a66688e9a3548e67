#!/usr/bin/env bash
# Runs the long tests for about HOURS (8) hours: "make torture". Each line with "part" below is one part. The parts run
# one after another, even if an earlier one fails. The crash states, the Edge TPU driver and the killed processes take as
# long whatever HOURS is. The exit status is 0 if every part passed, and 130 after Ctrl-C, which ends the current part and
# prints the summary of the parts so far.
#
# IMPRINT_TORTURE=1 makes tests exhaustive that otherwise take samples. The output of each part goes to a file in
# TORTURE_LOG, which defaults to a new temporary folder.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

HOURS=${HOURS:-8}
logs=${TORTURE_LOG:-$(mktemp -d "${TMPDIR:-/tmp}/imprint-torture-XXXXXX")}
export IMPRINT_TORTURE=1
mkdir -p "$logs"
summary=()
failed=0
interrupted=
# Without a trap, bash goes on with the next part, because go test exits normally after Ctrl-C.
trap 'interrupted=1' INT

# share prints PERCENT of HOURS in seconds.
share() { awk -v hours="$HOURS" -v percent="$1" 'BEGIN { printf "%d\n", hours * 36 * percent }'; }

# finish prints the summary and exits with the status $1.
finish() {
	printf '\n##### summary, output in %s\n' "$logs"
	printf '%s\n' "${summary[@]}"
	exit "$1"
}

# part runs a command as the part NAME. Tests print NOT RUN and the reason for what this machine cannot run.
part() {
	local name=$1 log=$logs/${1// /-}.log began=$SECONDS status=0 result
	shift
	printf '\n##### %s, started %s\n%s\n' "$name" "$(date +%H:%M:%S)" "$*"
	"$@" >"$log" 2>&1 || status=$?
	if [ "$interrupted" ]; then
		result="interrupted, see $log"
	elif [ "$status" != 0 ]; then
		result="FAILED (status $status), see $log"
		failed=1
	else
		result=$(sed -n 's/.*NOT RUN: //p' "$log" | paste -sd ';')
		result=passed${result:+", NOT RUN: $result"}
	fi
	tail -n 8 "$log"
	summary+=("$(printf '%-16s %6d s  %s' "$name" $((SECONDS - began)) "$result")")
	printf '%s\n' "${summary[-1]}"
	[ ! "$interrupted" ] || finish 130
}

echo "running for about $HOURS h; output in $logs"
part "crash states" go test -count=1 -v -timeout 0 -run '^TestCrashStates' ./imprint ./imprint/serve
part "power cuts" make test-power CUTS=$(($(share 25) / 10 + 1)) POWER_TIMEOUT=48h
part "hostile files" env IMPRINT_HOSTILE="$(($(share 25) + 10))s" IMPRINT_HOSTILE_DIR="$logs/hostile" go test -count=1 -timeout 0 -run '^TestHostile' ./cmd/imprint ./dataset
part "storm" env CGO_ENABLED=1 IMPRINT_STORM="$(($(share 1) + 10))s" go test -count=1 -race -v -timeout 0 -run '^TestStorm$' ./cmd/imprint
part "slow clients" go test -run '^$' -timeout 0 -bench '^BenchmarkClients$' -benchtime "$(($(share 1) * 20 / 9 + 100))x" ./cmd/imprint
part "edge tpu driver" go test -count=1 -v -timeout 0 -run '^TestSequences$' ./tpu -sequence "$(date +%s)000000"
part "killed processes" go test -count=1 -v -timeout 0 -run '^TestKill' ./imprint -kills 2000

finish "$failed"
