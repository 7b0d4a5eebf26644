# Both machines are reached by URLs that their providers published.

# ask END METHOD URL: sends a request with the end's token, if it has one, and shows the answer.
ask() {
    token=$(value "$1" $TOKEN_KEYS)
    # A token among the arguments could be seen by others on the node.
    printf '%s' "${token:+header = \"Authorization: Bearer $token\"}" |
        curl --config - --fail --silent --show-error --retry 3 --max-time 60 --request "$2" "$3"
}

# disks END: the URLs of its disks, one a line.
disks() {
    # Assigned on a line of its own, so that a missing key ends the script.
    urls=$(need_content "$1" $DISK_URL_KEYS)
    urls=$(printf '%s\n' "$urls" | tr ' ' '\n' | sed '/^$/d')
    if [ -z "$urls" ]; then
        fail "the $1 end names no disk under any of: $DISK_URL_KEYS"
    fi
    printf '%s\n' "$urls"
}

# format END: how its disks are written.
format() {
    found=$(value "$1" $DISK_FORMAT_KEYS)
    printf '%s' "${found:-raw}"
}
