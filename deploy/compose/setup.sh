#!/bin/sh
# Create once what the containers of deploy/compose.yaml share: certificates, the tokens and the key of the policy, the
# passwords of the database, and the key that encrypts the permit keys in it.
set -eu
umask 077
cd /etc/placet

random() {
  head -c 32 /dev/urandom | base64 | tr -d '+/=\n'
}

if [ ! -e tls/tls.crt ]; then
  placet dev-certs tls --host localhost --host 127.0.0.1 --host placet --host bundles --host database
fi
if [ ! -e policy/key.pub.pem ]; then
  random >policy/pull-token
  random >policy/push-token
  openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out policy/key.pem
  openssl pkey -in policy/key.pem -pubout -out policy/key.pub.pem
fi
if [ ! -e database/permit-keys ]; then
  openssl rand -base64 32 >database/permit-keys
fi
if [ ! -e database/superuser ]; then
  for role in placet_owner placet_writer; do
    printf 'database:5432:placet:%s:%s\n' "$role" "$(random)" >"database/$role"
  done
  random >database/superuser
fi
