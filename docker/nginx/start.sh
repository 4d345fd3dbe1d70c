#!/bin/sh
# Starts nginx with the certificate in /tls, or with a self-signed one if there is none.
set -eu
if [ ! -s /tls/tls.crt ]; then
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 -subj /CN=localhost \
    -addext subjectAltName=DNS:localhost,IP:127.0.0.1 -keyout /tls/tls.key -out /tls/tls.crt 2>/dev/null
fi
exec nginx -c /etc/nginx/nginx.conf
