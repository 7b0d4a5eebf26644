# Starts the new machine, and waits until it answers where its provider says how to ask.

url=$(value to $START_URL_KEYS)
if [ -n "$url" ]; then
    ask to POST "$url" >&2
else
    say "the new end has no URL to start it: its provider does that by itself"
fi
health=$(value to $HEALTH_URL_KEYS)
if [ -n "$health" ]; then
    until ask to GET "$health" >/dev/null; do
        say "waiting until the new machine answers"
        sleep 5
    done
fi
