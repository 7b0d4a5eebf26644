# Runs MirrorMaker 2 from the old end to the new one until it is stopped. Its position is kept at the new end, so that a
# later stage goes on where this one stopped. Topics keep their names.

{
    printf 'clusters=from,to\nfrom->to.enabled=true\nto->from.enabled=false\n'
    printf 'from->to.topics=%s\nfrom->to.groups=%s\n' "$TOPICS" "$GROUPS_PATTERN"
    printf 'replication.policy.class=org.apache.kafka.connect.mirror.IdentityReplicationPolicy\n'
    printf 'replication.factor=%s\nsync.group.offsets.enabled=true\nemit.checkpoints.enabled=true\n' "$REPLICATION"
    printf 'sync.topic.configs.enabled=true\nrefresh.topics.interval.seconds=30\ntasks.max=%s\n' "$TASKS"
    printf 'checkpoints.topic.replication.factor=%s\nheartbeats.topic.replication.factor=%s\n' "$REPLICATION" "$REPLICATION"
    printf 'offset-syncs.topic.replication.factor=%s\noffset.storage.replication.factor=%s\n' "$REPLICATION" "$REPLICATION"
    printf 'status.storage.replication.factor=%s\nconfig.storage.replication.factor=%s\n' "$REPLICATION" "$REPLICATION"
    printf 'offset-syncs.topic.location=target\nemit.heartbeats.enabled=false\n'
    sed 's/^/from./' "${WORK:-/work}/from.properties"
    sed 's/^/to./' "${WORK:-/work}/to.properties"
} >"${WORK:-/work}/mirror.properties"
exec connect-mirror-maker.sh "${WORK:-/work}/mirror.properties"
