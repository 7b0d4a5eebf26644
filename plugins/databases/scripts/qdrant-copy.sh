# Copies every collection as a snapshot, which is deleted at the old end when it has been fetched.

collections from >"${WORK:-/work}/collections"
while IFS= read -r collection; do
    name=$(encode "$collection")
    say "copying the collection $collection"
    made=$(http from "/collections/$name/snapshots?wait=true" --request POST)
    snapshot=$(printf '%s\n' "$made" | sed -n 's/.*"name":"\([^"]*\)".*/\1/p')
    if [ -z "$snapshot" ]; then
        fail "the old end made no snapshot of the collection $collection"
    fi
    http from "/collections/$name/snapshots/$snapshot" --output "${WORK:-/work}/snapshot"
    http to "/collections/$name/snapshots/upload?priority=snapshot&wait=true" --request POST \
        --form "snapshot=@${WORK:-/work}/snapshot" >/dev/null
    http from "/collections/$name/snapshots/$snapshot" --request DELETE >/dev/null
    rm -f "${WORK:-/work}/snapshot"
done <"${WORK:-/work}/collections"
