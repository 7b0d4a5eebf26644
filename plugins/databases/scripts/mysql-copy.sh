# Copies a database: a consistent dump to the scratch volume, then a restore. Every table is dropped before it is made, so
# that a second try begins anew.

read_only() {
    database=$(printf '%s' "$from_database" | sed 's/`/``/g')
    "$CLIENT" --defaults-extra-file="$from" --execute="ALTER DATABASE \`$database\` READ ONLY = $1"
}

on_exit() {
    status=$?
    trap - EXIT
    if [ "$status" -ne 0 ] && [ "$FREEZE" = true ]; then
        read_only 0 || say "the old database may still be read-only: ALTER DATABASE … READ ONLY = 0 there by hand"
    fi
    exit "$status"
}

trap on_exit EXIT
trap 'exit 143' INT TERM

if [ "$FREEZE" = true ]; then
    say "making the old database read-only"
    read_only 1
fi
say "dumping the old database"
"$DUMP" --defaults-extra-file="$from" --single-transaction --quick --routines --triggers --events --hex-blob \
    --no-tablespaces --result-file="${WORK:-/work}/dump.sql" -- "$from_database"
say "restoring into the new database"
# The old end decides what is in the dump, and the client has commands of its own that run programs and read files of this pod
# (system, source, tee). In this mode it knows but two, which set the delimiter and the character set.
"$CLIENT" --defaults-extra-file="$to" --binary-mode --batch --database="$to_database" <"${WORK:-/work}/dump.sql"
