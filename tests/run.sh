#!/usr/bin/env bash
# Runs every test of the workspace; arguments go to `cargo test`.
#
# The tests of `tests/e2e` (on real API servers) share a few cores with a dozen servers. One that fails is tried once more, beside at
# most one other: if it fails again, it has failed; if not, it is called flaky and its first failure is shown.
# What failed is shown last, where it is found.
set -euo pipefail

log=$(mktemp)
trap 'rm -f "$log" "$log.again"' EXIT

# failed LOG WHICH: names of failed tests, in e2e or in all other programs.
failed() {
	awk -v which="$2" '
		/^ +(Running|Doc-tests) / { section = /\(.*\/e2e-[0-9a-f]+\)/ ? "e2e" : "others" }
		/^test .* \.\.\. FAILED$/ && section == which { print $2 }
	' "$1"
}

# shown LOG: what failed tests printed.
shown() {
	awk '/^failures:$/ { inside = !inside } inside && !/^failures:$/' "$1"
}

status=0
cargo test --workspace --no-fail-fast "$@" 2>&1 | tee "$log" || status=$?
[ "$status" = 0 ] && exit 0

again=()
while IFS= read -r name; do again+=("$name"); done < <(failed "$log" e2e)
# Also where a program ended without naming a test: it was killed, or was not built.
broken=$(grep -cE '^error: could not compile|^ +process didn.t exit successfully:.*\(signal' "$log" || true)
if [ "${#again[@]}" = 0 ] || [ -n "$(failed "$log" others)" ] || [ "$broken" != 0 ]; then
	printf '\n==> what failed\n'
	shown "$log"
	exit "$status"
fi

printf '\n==> trying again: %s\n' "${again[*]}"
if RUST_TEST_THREADS=2 cargo test --workspace --test e2e -- --exact "${again[@]}" 2>&1 | tee "$log.again"; then
	printf '\n==> flaky: %s: passed when tried again. At first:\n' "${again[*]}"
	shown "$log"
	exit 0
fi
printf '\n==> what failed, at first and again\n'
shown "$log"
shown "$log.again"
exit 1
