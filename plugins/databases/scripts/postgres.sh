# pg END COMMAND...: runs a PostgreSQL client against one end.
pg() {
    pg_end=$1
    shift
    # Assigned on lines of their own, so that a missing key ends the script.
    pg_host=$(need "$pg_end" $HOST_KEYS)
    pg_user=$(need "$pg_end" $USERNAME_KEYS)
    pg_password=$(need "$pg_end" $PASSWORD_KEYS)
    pg_database=$(value "$pg_end" $DATABASE_KEYS)
    pg_port=$(value "$pg_end" $PORT_KEYS)
    PGHOST=$pg_host PGPORT=${pg_port:-5432} PGUSER=$pg_user PGPASSWORD=$pg_password \
        PGDATABASE=${pg_database:-$pg_user} PGSSLMODE=${TLS:-prefer} PGCONNECT_TIMEOUT=15 "$@"
}
