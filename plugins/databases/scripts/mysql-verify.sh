# Compares the number of rows of every table.

# rows OPTIONS DATABASE
rows() {
    "$CLIENT" --defaults-extra-file="$1" --skip-column-names --binary-mode --batch --database="$2" --execute="SELECT table_name
        FROM information_schema.tables WHERE table_schema = DATABASE() AND table_type = 'BASE TABLE'
        ORDER BY table_name" >"${WORK:-/work}/tables"
    while IFS= read -r table; do
        quoted=$(printf '%s' "$table" | sed 's/`/``/g')
        count=$("$CLIENT" --defaults-extra-file="$1" --skip-column-names --binary-mode --batch --database="$2" \
            --execute="SELECT COUNT(*) FROM \`$quoted\`" </dev/null)
        printf '%s\t%s\n' "$table" "$count"
    done <"${WORK:-/work}/tables"
}

rows "$from" "$from_database" >"${WORK:-/work}/from"
rows "$to" "$to_database" >"${WORK:-/work}/to"
same "the tables and their numbers of rows" "${WORK:-/work}/from" "${WORK:-/work}/to"
say "$(wc -l <"${WORK:-/work}/from") tables have the same number of rows"
