# Makes, for every stream of the old end, one at the new end that takes its messages from there and accepts none itself,
# and waits until each of them has caught up.

listed=$(streams from)
for name in $listed; do
    if nats --context to stream info "$name" --json >"${WORK:-/work}/existing.json" 2>/dev/null; then
        if [ "$(jq '.config.sources // [] | length' "${WORK:-/work}/existing.json")" -eq 0 ]; then
            fail "the new end has a stream $name that takes nothing from the old one: remove it, or move to another offer"
        fi
        say "the stream $name is there already"
        continue
    fi
    stream_info from "$name" >"${WORK:-/work}/info.json"
    jq --arg api "$API_PREFIX" '.config
        | del(.mirror, .sources, .subjects, .subject_transform, .republish, .placement)
        | .sources = [{name: .name, external: {api: $api}}]' "${WORK:-/work}/info.json" >"${WORK:-/work}/stream.json"
    say "mirroring the stream $name"
    nats --context to stream add "$name" --config "${WORK:-/work}/stream.json" >/dev/null
done

for name in $listed; do
    while true; do
        lag=$(missing "$name")
        say "messages of $name missing at the new end: $lag"
        if [ "$lag" -le "$MAX_LAG" ]; then
            break
        fi
        sleep "$POLL_SECONDS"
    done
done
