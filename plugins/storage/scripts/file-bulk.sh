# Copies everything while the old file system is still in use. Files that vanish in the middle (24) are no failure.

status=0
move --delete || status=$?
if [ "$status" -ne 0 ] && [ "$status" -ne 24 ]; then
    fail "rsync ended with $status; see the log"
fi
