# What every stage's script begins with. Each end's mirrored resources are mounted below /from and /to, one folder each.

set -eu
umask 077

say() {
    printf '%s\n' "$*" >&2
}

fail() {
    # The kubelet shows this file as the container's termination message.
    printf '%s\n' "$*" >"${TERMINATION_LOG:-/dev/termination-log}" 2>/dev/null || true
    say "$*"
    exit 1
}

# value END KEY...: the first of the keys that the end has; nothing if it has none of them.
value() {
    end=$1
    shift
    for key in "$@"; do
        for file in "${ENDS:-}/$end"/*/"$key"; do
            if [ -f "$file" ]; then
                cat "$file"
                return 0
            fi
        done
    done
}

# need END KEY...: the same, and a failure if the end has none of them.
need() {
    found=$(value "$@")
    if [ -z "$found" ]; then
        end=$1
        shift
        fail "none of the related resources mounted from the ${end} end has a key called any of: $*"
    fi
    printf '%s' "$found"
}

# same WHAT FILE FILE: fails with the differing lines unless both files are equal.
same() {
    if ! cmp -s "$2" "$3"; then
        diff "$2" "$3" | head -n 20 >&2 || true
        fail "$1 differ between the old and the new end; see the log for the first differences"
    fi
}
