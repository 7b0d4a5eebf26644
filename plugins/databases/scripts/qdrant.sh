# http END PATH ARGUMENTS...: one request to an end's REST interface.
http() {
    http_end=$1
    http_path=$2
    shift 2
    http_uri=$(value "$http_end" $URI_KEYS)
    if [ -z "$http_uri" ]; then
        http_host=$(need "$http_end" $HOST_KEYS)
        http_port=$(value "$http_end" $PORT_KEYS)
        http_uri="http://$http_host:${http_port:-6333}"
    fi
    http_secret=$(value "$http_end" $API_KEY_KEYS)
    # The header comes from standard input, so that the secret is on no command line.
    printf 'api-key: %s\n' "$http_secret" |
        curl --proto '=http,https' --fail --silent --show-error --header @- "$@" --url "${http_uri%/}$http_path" ||
        fail "the $http_end end does not answer $http_path as it should; see the log"
}

# collections END: their names, one a line. Their names hold no quotes.
collections() {
    # Not one pipeline: the failure of its first command would be no failure.
    listed=$(http "$1" /collections)
    printf '%s\n' "$listed" | grep -o '"name":"[^"]*"' | sed -e 's/^"name":"//' -e 's/"$//' | sort
}

encode() {
    printf '%s' "$1" | sed -e 's/%/%25/g' -e 's/ /%20/g' -e 's/#/%23/g' -e 's/&/%26/g' -e 's/+/%2B/g'
}
