# Ends the replication without losing a write: the old end pauses its writers for a while, the new end catches up and
# stands on its own. If this fails the pause ends by itself.

pause_ms=${PAUSE_MS:-30000}

caught_up() {
    [ "$(info from master_repl_offset)" = "$(info to slave_repl_offset)" ]
}

if [ "$(info to role)" = master ]; then
    say "the new end stands on its own already"
    exit 0
fi
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
cli to CONFIG SET masterauth '' >/dev/null
cli to CONFIG SET masteruser '' >/dev/null
say "the new end stands on its own"
