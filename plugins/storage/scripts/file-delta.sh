# Brings the new file system up to date just before it is used, removals included, and compares the two by content.

status=0
move --delete || status=$?
if [ "$status" -ne 0 ] && [ "$status" -ne 24 ]; then
    fail "rsync ended with $status; see the log"
fi
if [ "$VERIFY" = true ]; then
    move --dry-run --checksum --delete --itemize-changes --info=stats0 >"${WORK:-/work}/differences"
    if [ -s "${WORK:-/work}/differences" ]; then
        head -n 20 "${WORK:-/work}/differences" >&2
        fail "files differ between the old and the new file system, or are written faster than they are compared"
    fi
fi
