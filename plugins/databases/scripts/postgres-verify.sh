# Compares the number of rows of every table.

rows() {
    pg "$1" psql --no-psqlrc --quiet --tuples-only --no-align --set ON_ERROR_STOP=1 <<'SQL'
SELECT table_schema, table_name,
       (xpath('/row/n/text()', query_to_xml(
            format('SELECT count(*) AS n FROM %I.%I', table_schema, table_name), false, true, '')))[1]::text
  FROM information_schema.tables
 WHERE table_type = 'BASE TABLE' AND table_schema NOT IN ('pg_catalog', 'information_schema')
 ORDER BY 1, 2;
SQL
}

rows from >"${WORK:-/work}/from"
rows to >"${WORK:-/work}/to"
same "the tables and their numbers of rows" "${WORK:-/work}/from" "${WORK:-/work}/to"
say "$(wc -l <"${WORK:-/work}/from") tables have the same number of rows"
