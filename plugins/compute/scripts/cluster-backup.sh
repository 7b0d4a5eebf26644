# Backs up the old cluster. A name that is given by the cluster lets a second try make a backup of its own.

name=$(printf '%s' "$BACKUP" | velero from create --output 'jsonpath={.metadata.name}' --filename -)
say "made the backup $name"
finished from backups.velero.io "$name"
