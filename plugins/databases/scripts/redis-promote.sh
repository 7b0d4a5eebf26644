# Ends the replication without losing a write: the old end pauses its writers for a while, the new end catches up and
# stands on its own. If this fails the pause ends by itself.

pause_ms=${PAUSE_MS:-30000}

# Two ends that say nothing are not equal.
caught_up() {
    written=$(info from master_repl_offset)
    [ -n "$written" ] && [ "$written" = "$(info to slave_repl_offset)" ]
}

cli from CLIENT PAUSE "$pause_ms" WRITE >/dev/null
left=$((pause_ms / 2000))
until caught_up; do
    left=$((left - 1))
    if [ "$left" -le 0 ]; then
        fail "the new end did not catch up while the writers of the old one were paused (${pause_ms} ms)"
    fi
    sleep 1
done
cli to REPLICAOF NO ONE >/dev/null
# What was told it for the replication alone.
if [ -n "$from_password" ]; then
    cli to CONFIG SET masterauth '' >/dev/null
fi
if [ -n "$from_user" ]; then
    cli to CONFIG SET masteruser '' >/dev/null
fi
say "the new end stands on its own"
