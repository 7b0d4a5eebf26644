# Restores the newest backup of this migration into the new cluster.

velero from get backups.velero.io --selector "$SELECTOR" --sort-by .metadata.creationTimestamp \
    --output 'jsonpath={range .items[*]}{.metadata.name}{"\n"}{end}' >"$HOME/backups"
backup=$(tail -n 1 "$HOME/backups")
if [ -z "$backup" ]; then
    fail "the old cluster has no backup with the label $SELECTOR in namespace $VELERO_NAMESPACE"
fi
say "waiting until the new cluster sees the backup $backup in the storage that both share"
until velero to get backups.velero.io "$backup" >/dev/null 2>&1; do
    sleep 10
done
name=$(printf '%s' "$RESTORE" | sed "s/BACKUP_NAME/$backup/" | velero to create --output 'jsonpath={.metadata.name}' --filename -)
say "made the restore $name"
finished to restores.velero.io "$name"
