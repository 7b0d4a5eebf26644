# Waits until the new end holds what the old one holds, and with QUIET_SECONDS above zero also until nothing has been
# written to the old end for that long. Records are counted between the first and the last offset of each partition.

# offsets END TIME: lines of TOPIC:PARTITION OFFSET, sorted; TIME -2 is the first offset, -1 the last.
offsets() {
    bootstrap=$(sed -n 's/^bootstrap.servers=//p' "${WORK:-/work}/$1.properties")
    # The program fails where no topic fits, as at the new end until the mirror has made the first one.
    if ! raw=$(kafka-get-offsets.sh --bootstrap-server "$bootstrap" --command-config "${WORK:-/work}/$1.properties" \
        --exclude-internal-topics --topic "$TOPICS" --time "$2"); then
        if [ "$1" = from ]; then
            fail "the from end has no topic like $TOPICS, or does not answer; see the log"
        fi
        say "the new end has no topic like $TOPICS yet, or does not answer"
        raw=
    fi
    printf '%s\n' "$raw" | awk -F: 'NF == 3 && $1 !~ /^(mm2-|heartbeats$)/ && $1 !~ /\.checkpoints\.internal$/ {
        print $1 ":" $2, $3 }' | sort
}

# records END: lines of TOPIC:PARTITION COUNT, sorted.
records() {
    offsets "$1" -2 >"${WORK:-/work}/$1.first"
    offsets "$1" -1 >"${WORK:-/work}/$1.last"
    join "${WORK:-/work}/$1.first" "${WORK:-/work}/$1.last" | awk '{ print $1, $3 - $2 }' >"${WORK:-/work}/$1.records"
}

# missing: how many records the old end has that the new end has not.
missing() {
    join -a 1 -e 0 -o 0,1.2,2.2 "${WORK:-/work}/from.records" "${WORK:-/work}/to.records" |
        awk '$2 > $3 { sum += $2 - $3 } END { print sum + 0 }'
}

quiet=0
before=none
while true; do
    records from
    records to
    lag=$(missing)
    now=$(cksum <"${WORK:-/work}/from.last")
    if [ "$now" = "$before" ]; then
        quiet=$((quiet + POLL_SECONDS))
    else
        quiet=0
    fi
    before=$now
    say "records missing at the new end: $lag; seconds without a new one at the old end: $quiet"
    if [ "$lag" -le "$MAX_LAG" ] && [ "$quiet" -ge "$QUIET_SECONDS" ]; then
        exit 0
    fi
    sleep "$POLL_SECONDS"
done
