# Copies a database: an archive on the scratch volume, then a restore that drops each collection before it is made.

from=$(config from)
to=$(config to)
from_database=$(value from $DATABASE_KEYS)
to_database=$(value to $DATABASE_KEYS)
say "dumping the old database"
if [ -n "$from_database" ]; then
    mongodump --config="$from" --db="$from_database" --gzip --archive="${WORK:-/work}/dump"
else
    mongodump --config="$from" --gzip --archive="${WORK:-/work}/dump"
fi
say "restoring into the new database"
if [ -n "$from_database" ] && [ -n "$to_database" ] && [ "$from_database" != "$to_database" ]; then
    mongorestore --config="$to" --drop --stopOnError --gzip --archive="${WORK:-/work}/dump" \
        --nsFrom="$from_database.*" --nsTo="$to_database.*"
else
    mongorestore --config="$to" --drop --stopOnError --gzip --archive="${WORK:-/work}/dump"
fi
