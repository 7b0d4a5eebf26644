# cli END ARGUMENTS...: runs the command-line client against one end; the password is in the environment.
cli() {
    redis_end=$1
    shift
    redis_host=$(need "$redis_end" $HOST_KEYS)
    redis_port=$(value "$redis_end" $PORT_KEYS)
    redis_user=$(value "$redis_end" $USERNAME_KEYS)
    redis_password=$(value "$redis_end" $PASSWORD_KEYS)
    if [ -n "$redis_password" ]; then
        # The client of either name reads its own variable.
        export REDISCLI_AUTH="$redis_password" VALKEYCLI_AUTH="$redis_password"
    else
        unset REDISCLI_AUTH VALKEYCLI_AUTH
    fi
    if [ -n "$redis_user" ] && [ -n "$redis_password" ]; then
        set -- --user "$redis_user" "$@"
    fi
    if [ "${TLS:-prefer}" = require ]; then
        set -- --tls "$@"
        for redis_file in "${ENDS:-}/$redis_end"/*/ca.crt; do
            if [ -f "$redis_file" ]; then
                set -- --cacert "$redis_file" "$@"
            fi
        done
    fi
    answer=$("$CLIENT" -h "$redis_host" -p "${redis_port:-6379}" --no-auth-warning "$@")
    case "$answer" in
    ERR* | NOAUTH* | NOPERM* | WRONGPASS* | LOADING* | READONLY* | MISCONF*)
        fail "the $redis_end end refuses the command: $answer"
        ;;
    esac
    printf '%s\n' "$answer"
}

# info END FIELD: one field of INFO replication.
info() {
    cli "$1" INFO replication | tr -d '\r' | sed -n "s/^$2://p"
}

# wait_for WHAT COMMAND...: until the command succeeds or the stage's time is up.
wait_for() {
    what=$1
    shift
    say "waiting until $what"
    until "$@"; do
        sleep 2
    done
}
