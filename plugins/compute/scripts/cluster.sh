# Both clusters are reached by the kubeconfigs that their providers published.

# What has a client run a program, read or send a file of this pod, or trust whoever answers.
REFUSED='user.exec user.auth-provider user.tokenFile user.client-certificate user.client-key cluster.certificate-authority
cluster.proxy-url cluster.insecure-skip-tls-verify'

# inline END: leaves of the end's kubeconfig what its current context needs, and refuses it where that is not all within it.
inline() {
    need_content "$1" $KUBECONFIG_KEYS >"$HOME/$1.published"
    kubectl config view --kubeconfig "$HOME/$1.published" --raw --minify --output json >"$HOME/$1.kubeconfig" ||
        fail "the kubeconfig of the $1 end cannot be read, or has no current-context of its own; see the log"
    rm -f "$HOME/$1.published"
    refused=
    for field in $REFUSED; do
        found=$(kubectl config view --kubeconfig "$HOME/$1.kubeconfig" --output "jsonpath={.${field%%.*}s[*].$field}")
        if [ -n "$found" ]; then
            refused="$refused${refused:+, }${field#*.}"
        fi
    done
    if [ -n "$refused" ]; then
        fail "the kubeconfig of the $1 end is not used, since it has $refused: its provider has to publish one with server, certificate-authority-data, and a token or client-certificate-data and client-key-data in it"
    fi
}

inline from
inline to

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
