# remote END: one end as a section of an rclone configuration.
remote() {
    s3_endpoint=$(value "$1" $ENDPOINT_KEYS)
    if [ -z "$s3_endpoint" ]; then
        s3_host=$(need "$1" $HOST_KEYS)
        s3_port=$(value "$1" $PORT_KEYS)
        s3_endpoint="$s3_host${s3_port:+:$s3_port}"
    fi
    s3_access=$(need "$1" $ACCESS_KEY_KEYS)
    s3_secret=$(need "$1" $SECRET_KEY_KEYS)
    s3_region=$(value "$1" $REGION_KEYS)
    printf '[%s]\ntype = s3\nprovider = Other\nendpoint = %s\naccess_key_id = %s\nsecret_access_key = %s\nregion = %s\n' \
        "$1" "$s3_endpoint" "$s3_access" "$s3_secret" "$s3_region"
}

RCLONE_CONFIG="${WORK:-/work}/rclone.conf"
export RCLONE_CONFIG
remote from >"$RCLONE_CONFIG"
remote to >>"$RCLONE_CONFIG"
from_bucket=$(need from $BUCKET_KEYS)
to_bucket=$(need to $BUCKET_KEYS)

# move COMMAND OPTIONS...: one run from the old bucket to the new one.
move() {
    command=$1
    shift
    rclone "$command" "from:$from_bucket" "to:$to_bucket" --metadata --fast-list --transfers "$TRANSFERS" \
        --stats 60s --stats-one-line --stats-log-level NOTICE "$@"
}
