# nats_context END: prepares the client's connection to one end.
nats_context() {
    nats_url=$(need "$1" $URI_KEYS)
    nats_user=$(value "$1" $USERNAME_KEYS)
    nats_password=$(value "$1" $PASSWORD_KEYS)
    nats_creds=
    for key in $CREDENTIALS_KEYS; do
        for file in "${ENDS:-}/$1"/*/"$key"; do
            if [ -f "$file" ]; then
                nats_creds=$file
            fi
        done
    done
    jq --null-input --arg url "$nats_url" --arg user "$nats_user" --arg password "$nats_password" \
        --arg creds "$nats_creds" '{url: $url, user: $user, password: $password, creds: $creds}' \
        >"$XDG_CONFIG_HOME/nats/context/$1.json"
}

command -v jq >/dev/null || fail "the image has no jq; use one that has both nats and jq"
XDG_CONFIG_HOME="${WORK:-/work}"
export XDG_CONFIG_HOME
mkdir -p "$XDG_CONFIG_HOME/nats/context"
nats_context from
nats_context to

# streams END: the names of its streams, one a line.
streams() {
    # Not one pipeline: the failure of its first command would be no failure.
    nats --context "$1" stream ls --names --json >"${WORK:-/work}/streams.json" ||
        fail "the $1 end does not list its streams; see the log"
    jq --raw-output '.[]?' "${WORK:-/work}/streams.json"
}

# stream_info END NAME: how a stream stands.
stream_info() {
    nats --context "$1" stream info "$2" --json >"${WORK:-/work}/$1-info.json" ||
        fail "the $1 end does not say how its stream $2 stands; see the log"
    cat "${WORK:-/work}/$1-info.json"
}

# missing NAME: how many messages of a stream the new end still has to fetch. A source that has never been heard of says
# that nothing is missing; then it is all that the old end has.
missing() {
    stream_info from "$1" >"${WORK:-/work}/old.json"
    stream_info to "$1" >"${WORK:-/work}/new.json"
    jq --slurpfile old "${WORK:-/work}/old.json" \
        '[.sources[]? | if (.active // 0) < 0 then $old[0].state.messages // 0 else .lag // 0 end] | add // 0' \
        "${WORK:-/work}/new.json"
}
