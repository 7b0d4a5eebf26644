# Makes the new end a replica of the old one and waits until it has everything. The old end goes on as before.

linked() {
    [ "$(info to master_link_status)" = up ] && [ "$(info to master_sync_in_progress)" = 0 ]
}

from_user=$(value from $USERNAME_KEYS)
from_password=$(value from $PASSWORD_KEYS)
# Over standard input, so that the password is on no command line. The client reads quoted words.
if [ -n "$from_password" ]; then
    quoted=$(printf '%s' "$from_password" | sed -e 's/\\/\\\\/g' -e 's/"/\\"/g')
    printf 'CONFIG SET masterauth "%s"\n' "$quoted" | cli to >/dev/null
fi
if [ -n "$from_user" ]; then
    cli to CONFIG SET masteruser "$from_user" >/dev/null
fi
from_host=$(need from $HOST_KEYS)
from_port=$(value from $PORT_KEYS)
cli to REPLICAOF "$from_host" "${from_port:-6379}" >/dev/null
wait_for "the new end has all data" linked
