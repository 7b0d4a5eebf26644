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
    nats --context "$1" stream ls --names --json | jq --raw-output '.[]?'
}
