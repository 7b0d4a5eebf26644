# Waits until nobody has written to the old end for a while and the new end has everything, then lets the streams of the
# new end stand on their own, with the subjects that they have at the old end.

listed=$(streams from)
quiet=0
before=none
while true; do
    now=
    lag=0
    for name in $listed; do
        behind=$(missing "$name")
        last=$(jq '.state.last_seq' "${WORK:-/work}/old.json")
        now="$now $name:$last"
        lag=$((lag + behind))
    done
    if [ "$now" = "$before" ]; then
        quiet=$((quiet + POLL_SECONDS))
    else
        quiet=0
    fi
    before=$now
    say "messages missing at the new end: $lag; seconds without a new one at the old end: $quiet"
    if [ "$lag" -eq 0 ] && [ "$quiet" -ge "$QUIET_SECONDS" ]; then
        break
    fi
    sleep "$POLL_SECONDS"
done

for name in $listed; do
    stream_info from "$name" >"${WORK:-/work}/old.json"
    stream_info to "$name" >"${WORK:-/work}/new.json"
    jq --slurpfile old "${WORK:-/work}/old.json" '.config | del(.sources) | .subjects = $old[0].config.subjects' \
        "${WORK:-/work}/new.json" >"${WORK:-/work}/stream.json"
    say "the stream $name stands on its own"
    nats --context to stream edit "$name" --config "${WORK:-/work}/stream.json" --force >/dev/null
done
