# Both machines are reached by URLs that their providers published.

# ask END METHOD URL: sends a request with the end's token, if it has one, and shows the answer.
ask() {
    token=$(value "$1" $TOKEN_KEYS)
    # A token among the arguments could be seen by others on the node.
    printf '%s' "${token:+header = \"Authorization: Bearer $token\"}" |
        curl --config - --proto '=http,https' --fail --silent --show-error --retry 3 --max-time 60 --request "$2" --url "$3"
}

# disks END: the URLs of its disks, one a line.
disks() {
    # Assigned on a line of its own, so that a missing key ends the script.
    urls=$(need_content "$1" $DISK_URL_KEYS)
    urls=$(printf '%s\n' "$urls" | tr ' ' '\n' | sed '/^$/d')
    if [ -z "$urls" ]; then
        fail "the $1 end names no disk under any of: $DISK_URL_KEYS"
    fi
    # qemu-img also takes files of this pod, which holds the other end's credentials, and options.
    printf '%s\n' "$urls" | while IFS= read -r url; do
        scheme=${url%%://*}
        case $scheme in
        "$url" | '' | *[!a-z0-9+-]* | file | fat | *+unix)
            fail "the $1 end names a disk by something else than the URL of a server, such as nbd://HOST/NAME"
            ;;
        esac
    done || exit 1
    printf '%s\n' "$urls"
}

# format END: how its disks are written.
format() {
    found=$(value "$1" $DISK_FORMAT_KEYS)
    case ${found:-raw} in
    raw | qcow2 | qed | vdi | vhdx | vpc) printf '%s' "${found:-raw}" ;;
    # A vmdk, for one, may be made of other files by name.
    *) fail "the $1 end has disks in a format that is not copied: it has to be raw, qcow2, qed, vdi, vhdx or vpc" ;;
    esac
}

# whole END FORMAT URL: fails where a disk is made of other files, which the end would choose among those of this pod.
whole() {
    if [ "$2" = raw ]; then
        return 0
    fi
    qemu-img info --force-share --output json -f "$2" "$3" >"$HOME/info" </dev/null ||
        fail "a disk of the $1 end cannot be reached; see the log"
    if grep -q -E '"(full-)?backing-filename"|"data-file' "$HOME/info"; then
        fail "a disk of the $1 end is made of other files by name (a backing or data file), which is not copied: publish it whole"
    fi
}
