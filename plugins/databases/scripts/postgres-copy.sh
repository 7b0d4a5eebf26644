# Copies a database: a dump to the scratch volume, then one transaction at the new end, so that a failure leaves nothing
# half restored and a second try begins anew.

# The database is read-only already where an earlier try was stopped by force; the session must not be.
freeze() {
    say "making the old database read-only"
    pg from psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 >/dev/null <<'SQL'
SET default_transaction_read_only = off;
SELECT format('ALTER DATABASE %I SET default_transaction_read_only = on', current_database()) \gexec
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
 WHERE datname = current_database() AND usename = current_user AND pid <> pg_backend_pid();
SQL
}

thaw() {
    say "making the old database writable again"
    pg from env PGOPTIONS='-c default_transaction_read_only=off' \
        psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 >/dev/null <<'SQL'
SELECT format('ALTER DATABASE %I RESET default_transaction_read_only', current_database()) \gexec
SQL
}

on_exit() {
    status=$?
    trap - EXIT
    if [ "$status" -ne 0 ] && [ "$FREEZE" = true ]; then
        thaw || say "the old database may still be read-only: reset default_transaction_read_only there by hand"
    fi
    exit "$status"
}

trap on_exit EXIT
trap 'exit 143' INT TERM

if [ "$FREEZE" = true ]; then
    freeze
fi
say "dumping the old database"
pg from pg_dump --format=custom --no-owner --no-privileges --file="${WORK:-/work}/dump"
say "restoring into the new database"
pg to sh -c 'exec pg_restore --single-transaction --exit-on-error --clean --if-exists --no-owner --no-privileges \
    --dbname="$PGDATABASE" "$1"' restore "${WORK:-/work}/dump"
