# Compares the number of documents of every collection.

# documents END
documents() {
    # Through the environment: a command line is seen by others on the node.
    END_URI=$(need "$1" $URI_KEYS)
    END_DATABASE=$(value "$1" $DATABASE_KEYS)
    export END_URI END_DATABASE
    mongosh --nodb --quiet --norc --eval '
        const uri = process.env.END_URI;
        const connection = connect(uri);
        const name = process.env.END_DATABASE;
        const count = (database, prefix) => database.getCollectionNames()
            .filter(each => !each.startsWith("system.")).sort()
            .forEach(each => print(prefix + each + "\t" + database.getCollection(each).countDocuments({})));
        if (name) {
            count(connection.getSiblingDB(name), "");
        } else if (/^[^:]+:\/\/[^\/]+\/[^?]/.test(uri)) {
            count(connection, "");
        } else {
            // No database is named, and so all were dumped.
            connection.getMongo().getDBNames().filter(each => !["admin", "config", "local"].includes(each)).sort()
                .forEach(each => count(connection.getSiblingDB(each), each + "."));
        }'
}

documents from >"${WORK:-/work}/from"
documents to >"${WORK:-/work}/to"
same "the collections and their numbers of documents" "${WORK:-/work}/from" "${WORK:-/work}/to"
say "$(wc -l <"${WORK:-/work}/from") collections have the same number of documents"
