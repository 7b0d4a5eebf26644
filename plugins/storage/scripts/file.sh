# mounted END: the folder with one end's files. A claim is mounted there by the kubelet; otherwise the script mounts it.
mounted() {
    folder="${MOUNTS:-/mnt}/$1"
    eval "claimed=\${CLAIMED_$1:-false}"
    if [ "$claimed" = true ]; then
        printf '%s' "$folder"
        return 0
    fi
    server=$(need "$1" $SERVER_KEYS)
    share=$(need "$1" $SHARE_KEYS)
    case "$server$share" in
    -*) fail "the $1 end's server begins with a dash, and would be taken for an option" ;;
    esac
    mkdir -p "$folder"
    mode=rw
    if [ "$1" = from ]; then
        mode=ro
    fi
    eval "protocol=\${PROTOCOL_$1:-nfs}"
    case "$protocol" in
    smb)
        credentials="${WORK:-/work}/$1.smb"
        smb_user=$(need "$1" $USERNAME_KEYS)
        smb_password=$(need "$1" $PASSWORD_KEYS)
        printf 'username=%s\npassword=%s\n' "$smb_user" "$smb_password" >"$credentials"
        mount -t cifs "//$server/${share#/}" "$folder" -o "$mode,credentials=$credentials"
        ;;
    *)
        eval "version=\${NFS_VERSION_$1:-}"
        mount -t nfs "$server:$share" "$folder" -o "$mode${version:+,vers=$version},nolock"
        ;;
    esac || fail "the $1 end's share $share of $server cannot be mounted; see the log"
    printf '%s' "$folder"
}

# Alpine has neither rsync nor the mount helpers; an image of your own with them needs no network for this.
if ! command -v rsync >/dev/null; then
    apk add --no-cache rsync nfs-utils cifs-utils >&2 || fail "the image has no rsync, and it could not be installed"
fi

from=$(mounted from)
to=$(mounted to)

# move OPTIONS...: one run from the old file system to the new one.
move() {
    rsync --archive --hard-links --acls --xattrs --numeric-ids --one-file-system --info=stats1 "$@" "$from/" "$to/"
}
