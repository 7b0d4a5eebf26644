# Compares the number of documents of every collection.

# documents END
documents() {
    # Through the environment: a command line is seen by others on the node.
    END_URI=$(need "$1" $URI_KEYS)
    END_DATABASE=$(value "$1" $DATABASE_KEYS)
    export END_URI END_DATABASE
    mongosh --nodb --quiet --norc --eval '
        const connection = connect(process.env.END_URI);
        const name = process.env.END_DATABASE;
        const database = name ? connection.getSiblingDB(name) : connection;
        database.getCollectionNames().filter(each => !each.startsWith("system.")).sort()
            .forEach(each => print(each + "\t" + database.getCollection(each).countDocuments({})));'
}

documents from >"${WORK:-/work}/from"
documents to >"${WORK:-/work}/to"
same "the collections and their numbers of documents" "${WORK:-/work}/from" "${WORK:-/work}/to"
say "$(wc -l <"${WORK:-/work}/from") collections have the same number of documents"
