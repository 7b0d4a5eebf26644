# Both clusters are reached by the kubeconfigs that their providers published.

need_content from $KUBECONFIG_KEYS >"$HOME/from.kubeconfig"
need_content to $KUBECONFIG_KEYS >"$HOME/to.kubeconfig"

# on END ARGUMENT...: kubectl for one of the clusters.
on() {
    end=$1
    shift
    kubectl --kubeconfig "$HOME/$end.kubeconfig" --request-timeout 60s "$@"
}

velero() {
    end=$1
    shift
    on "$end" --namespace "$VELERO_NAMESPACE" "$@"
}

# finished END KIND NAME: waits until Velero is done with it, and fails unless it did what it should.
finished() {
    while :; do
        phase=$(velero "$1" get "$2" "$3" --output 'jsonpath={.status.phase}' || true)
        case $phase in
            Completed)
                say "$2 $3 is complete"
                return 0
                ;;
            PartiallyFailed)
                if [ "$ACCEPT_PARTIAL" = true ]; then
                    say "$2 $3 lacks some objects, which the settings accept"
                    return 0
                fi
                fail "$2 $3 lacks some objects: see it in namespace $VELERO_NAMESPACE, or set acceptPartial"
                ;;
            Failed | FailedValidation)
                why=$(velero "$1" get "$2" "$3" --output 'jsonpath={.status.failureReason}{.status.validationErrors}' || true)
                fail "$2 $3 failed: ${why:-it gives no reason}"
                ;;
        esac
        sleep 10
    done
}
