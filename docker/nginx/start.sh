#!/bin/sh
# Starts nginx with the certificate in /tls, or, where there is none, with a self-signed one for trying things out.
set -eu
if [ ! -s /tls/tls.crt ]; then
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 -subj /CN=localhost \
    -addext subjectAltName=DNS:localhost,IP:127.0.0.1 -keyout /tls/tls.key -out /tls/tls.crt 2>/dev/null
fi
exec nginx -c /etc/nginx/nginx.conf
