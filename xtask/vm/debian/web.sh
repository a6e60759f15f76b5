#!/bin/sh
# In the container: asks the web server of the host with its token.
while :; do
    read -r token </run/secrets/token
    printf 'GET /container HTTP/1.0\r\nHost: shop.test\r\nAuthorization: Bearer %s\r\n\r\n' "$token" |
        busybox nc 127.0.0.1 8080
    sleep 20
done
