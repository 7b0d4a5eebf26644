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

# content END KEY...: the first of the keys that the end has, whole; nothing if it has none of them.
content() {
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

NEWLINE='
'
RETURN=$(printf '\r')

# value END KEY...: the same, of one line. Values go into clients' configuration files, where a line of a provider's choice
# would be an option of its choice.
value() {
    found=$(content "$@")
    case $found in
    *"$NEWLINE"* | *"$RETURN"*)
        end=$1
        shift
        fail "the ${end} end has a value of several lines under one of: $*; it has to be a single line"
        ;;
    esac
    printf '%s' "$found"
}

# given END TEXT KEY...: the text, and a failure if there is none.
given() {
    if [ -z "$2" ]; then
        end=$1
        shift 2
        fail "none of the related resources mounted from the ${end} end has a key called any of: $*"
    fi
    printf '%s' "$2"
}

# need END KEY...: as value, and a failure if the end has none of them.
need() {
    end=$1
    found=$(value "$@")
    shift
    given "$end" "$found" "$@"
}

# need_content END KEY...: as content, and a failure if the end has none of them.
need_content() {
    end=$1
    found=$(content "$@")
    shift
    given "$end" "$found" "$@"
}

# same WHAT FILE FILE: fails with the differing lines unless both files are equal.
same() {
    if ! cmp -s "$2" "$3"; then
        diff "$2" "$3" | head -n 20 >&2 || true
        fail "$1 differ between the old and the new end; see the log for the first differences"
    fi
}
