# Fetches what was written to the old file system after the last comparison. The new one is in use by now: nothing there
# is removed, and nothing newer is overwritten.

status=0
move --update || status=$?
if [ "$status" -ne 0 ] && [ "$status" -ne 24 ]; then
    fail "rsync ended with $status; see the log"
fi
