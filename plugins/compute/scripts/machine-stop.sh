# Stops the old machine, so that its disks stand still.

url=$(need from $STOP_URL_KEYS)
ask from POST "$url" >&2
state=$(value from $STATE_URL_KEYS)
if [ -z "$state" ]; then
    say "the old end has no URL for its state: what it answered is all that is known"
    exit 0
fi
# Whole words, as off is a part of many others; with what joins the words of Powered-Off, POWER_OFF and SHUTOFF.
until ask from GET "$state" |
    grep -q -i -E '(^|[^a-z])(stopped|halted|succeeded|((power|powered|shut)[ _-]?)?off)([^a-z]|$)'; do
    say "waiting until the old machine has stopped"
    sleep 5
done
