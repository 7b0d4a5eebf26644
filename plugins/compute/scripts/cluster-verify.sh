# Looks whether the new cluster has what the old one has, and whether its workloads run.

KINDS=deployments.apps,statefulsets.apps,daemonsets.apps,cronjobs.batch,services,persistentvolumeclaims

moved() {
    for excluded in $EXCLUDED; do
        if [ "$1" = "$excluded" ]; then
            return 1
        fi
    done
    if [ -z "$INCLUDED" ]; then
        return 0
    fi
    for included in $INCLUDED; do
        if [ "$1" = "$included" ]; then
            return 0
        fi
    done
    return 1
}

# inventory END: what is moved of it. Into files step by step, so that what fails ends the script.
inventory() {
    on "$1" get "$KINDS" --all-namespaces \
        --output 'jsonpath={range .items[*]}{.metadata.namespace}{" "}{.kind}/{.metadata.name}{"\n"}{end}' >"$HOME/$1.all"
    while read -r namespace object; do
        # Every cluster has this one of its own.
        if [ "$namespace $object" != "default Service/kubernetes" ] && moved "$namespace"; then
            printf '%s %s\n' "$namespace" "$object"
        fi
    done <"$HOME/$1.all" >"$HOME/$1.moved"
    sort "$HOME/$1.moved"
}

inventory from >"$HOME/old"
inventory to >"$HOME/new"
missing=$(comm -23 "$HOME/old" "$HOME/new" | head -n 20)
if [ -n "$missing" ]; then
    fail "the new cluster lacks: $(printf '%s' "$missing" | tr '\n' ';')"
fi
grep -E ' (Deployment|StatefulSet|DaemonSet)/' "$HOME/old" >"$HOME/workloads" || true
while read -r namespace object; do
    say "waiting for $object in $namespace"
    on to --namespace "$namespace" rollout status --request-timeout 0 --timeout "${PATIENCE}s" \
        "$(printf '%s' "$object" | tr '[:upper:]' '[:lower:]')" >&2 </dev/null ||
        fail "$object in namespace $namespace does not run in the new cluster"
done <"$HOME/workloads"
say "the new cluster has all of $(wc -l <"$HOME/old") objects, and its workloads run"
