# config END: writes the tools' configuration file for one end, so that the URI is on no command line, and prints its name.
config() {
    mongo_uri=$(need "$1" $URI_KEYS)
    mongo_file="${WORK:-/work}/$1.yaml"
    printf "uri: '%s'\n" "$(printf '%s' "$mongo_uri" | sed "s/'/''/g")" >"$mongo_file"
    printf '%s' "$mongo_file"
}
