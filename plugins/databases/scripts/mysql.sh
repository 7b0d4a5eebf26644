# quoted TEXT: with the two characters escaped that end or continue a quoted value of an option file.
quoted() {
    printf '%s' "$1" | sed -e 's/\\/\\\\/g' -e 's/"/\\"/g'
}

# options END: writes a client's option file for one end, so that the password is on no command line, and prints its name.
# A server must not ask the client for its files: the pod holds the other end's credentials, too.
options() {
    my_host=$(need "$1" $HOST_KEYS)
    my_user=$(need "$1" $USERNAME_KEYS)
    my_password=$(need "$1" $PASSWORD_KEYS)
    my_port=$(value "$1" $PORT_KEYS)
    my_file="${WORK:-/work}/$1.cnf"
    my_host=$(quoted "$my_host")
    my_user=$(quoted "$my_user")
    my_password=$(quoted "$my_password")
    printf '[client]\nhost="%s"\nport=%s\nuser="%s"\npassword="%s"\nloose-connect-timeout=15\nloose-local-infile=0\n' \
        "$my_host" "${my_port:-3306}" "$my_user" "$my_password" >"$my_file"
    if [ "$CLIENT" = mariadb ]; then
        # Where the client knows it: no commands that reach files or programs.
        printf 'loose-sandbox\n' >>"$my_file"
    fi
    if [ "${TLS:-prefer}" = require ]; then
        # The two clients call it differently.
        case "$CLIENT" in
        mariadb) printf 'ssl\n' >>"$my_file" ;;
        *) printf 'ssl-mode=REQUIRED\n' >>"$my_file" ;;
        esac
    fi
    printf '%s' "$my_file"
}

from=$(options from)
to=$(options to)
from_database=$(need from $DATABASE_KEYS)
to_database=$(need to $DATABASE_KEYS)
