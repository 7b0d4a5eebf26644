quoted() {
    printf '%s' "$1" | sed -e 's/\\/\\\\/g' -e 's/"/\\"/g' -e 's/\\/\\\\/g'
}

# kafka_client END: one end as client properties, without a prefix.
kafka_client() {
    kafka_bootstrap=$(need "$1" $BOOTSTRAP_KEYS)
    kafka_user=$(value "$1" $USERNAME_KEYS)
    kafka_password=$(value "$1" $PASSWORD_KEYS)
    kafka_protocol=$(value "$1" $PROTOCOL_KEYS)
    kafka_mechanism=$(value "$1" $MECHANISM_KEYS)
    kafka_mechanism=${kafka_mechanism:-SCRAM-SHA-512}
    printf 'bootstrap.servers=%s\n' "$kafka_bootstrap"
    if [ -n "$kafka_user" ]; then
        case "$kafka_mechanism" in
        PLAIN) login=org.apache.kafka.common.security.plain.PlainLoginModule ;;
        *) login=org.apache.kafka.common.security.scram.ScramLoginModule ;;
        esac
        # Escaped twice: once for the quoted value of the JAAS entry, once for the properties file.
        kafka_password=$(quoted "$kafka_password")
        kafka_user=$(quoted "$kafka_user")
        printf 'security.protocol=%s\nsasl.mechanism=%s\n' "${kafka_protocol:-SASL_SSL}" "$kafka_mechanism"
        printf 'sasl.jaas.config=%s required username="%s" password="%s";\n' "$login" "$kafka_user" "$kafka_password"
    else
        printf 'security.protocol=%s\n' "${kafka_protocol:-PLAINTEXT}"
    fi
    for file in "${ENDS:-}/$1"/*/ca.crt; do
        if [ -f "$file" ]; then
            printf 'ssl.truststore.type=PEM\nssl.truststore.location=%s\n' "$file"
            break
        fi
    done
}

PATH="$PATH:/opt/kafka/bin"
kafka_client from >"${WORK:-/work}/from.properties"
kafka_client to >"${WORK:-/work}/to.properties"
