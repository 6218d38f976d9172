#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# run_tests.sh TEST... - run test binaries as kselftest's runner does: KTAP, each binary's own
# output as comments, its time limit from the file settings. Exit 1 if any failed.

here=$(dirname "$0")
limit=$(sed -n 's/^timeout=//p' "$here/settings")
# On a kernel that is slow by a factor, programs have more time by it.
limit=$((${limit:-300} * ${MHV_SLOW:-1}))
number=0 failed=0 skipped=0
out=$(mktemp) || exit 1
trap 'rm -f "$out"' EXIT

printf 'TAP version 13\n1..%d\n' $#
for test; do
	number=$((number + 1))
	name=$(basename "$test")
	printf '# selftests: minihv: %s\n' "$name"
	# With RETRY=N a test that failed is run up to N times more, and the last run counts: in a
	# host that is emulated, time passes in leaps when its machine has other things to do, and
	# the emulation itself fails now and then.
	for try in $(seq 1 $((${RETRY:-0} + 1))); do
		status=$({ { timeout -k 10 "$limit" "$test" 2>&1; echo $? >&3; } |
			 sed 's/^/# /' > "$out"; } 3>&1)
		case $status in
		0 | 4) break ;;
		esac
		[ "$try" -le "${RETRY:-0}" ] || break
		sed 's/^# /# earlier try: /' "$out"
	done
	cat "$out"
	case $status in
	0) printf 'ok %d selftests: minihv: %s\n' $number "$name" ;;
	4) printf 'ok %d selftests: minihv: %s # SKIP\n' $number "$name"
	   skipped=$((skipped + 1)) ;;
	124 | 137) printf 'not ok %d selftests: minihv: %s # TIMEOUT %s seconds\n' \
		$number "$name" "$limit"
	   failed=$((failed + 1)) ;;
	*) printf 'not ok %d selftests: minihv: %s # exit=%d\n' $number "$name" "$status"
	   failed=$((failed + 1)) ;;
	esac
done
printf '# Totals: pass:%d fail:%d xfail:0 xpass:0 skip:%d error:0\n' \
	$((number - failed - skipped)) $failed $skipped
[ $failed -eq 0 ]
