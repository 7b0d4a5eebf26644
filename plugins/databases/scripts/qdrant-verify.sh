# Compares the number of points of every collection.

# points END
points() {
    collections "$1" >"${WORK:-/work}/collections"
    while IFS= read -r collection; do
        counted=$(http "$1" "/collections/$(encode "$collection")/points/count" --request POST \
            --header 'content-type: application/json' --data '{"exact":true}')
        count=$(printf '%s\n' "$counted" | sed -n 's/.*"count":\([0-9]*\).*/\1/p')
        if [ -z "$count" ]; then
            fail "the $1 end does not say how many points the collection $collection has"
        fi
        printf '%s\t%s\n' "$collection" "$count"
    done <"${WORK:-/work}/collections"
}

points from >"${WORK:-/work}/from"
points to >"${WORK:-/work}/to"
same "the collections and their numbers of points" "${WORK:-/work}/from" "${WORK:-/work}/to"
say "$(wc -l <"${WORK:-/work}/from") collections have the same number of points"
