#!/bin/sh
# Buckets, versions, object lock, lifecycle, one user and one policy a stage. Nobody may delete.
set -eu
until mc alias set store "$STORE" "$(cat /run/secrets/minio/user)" "$(cat /run/secrets/minio/password)" >/dev/null 2>&1; do
  sleep 2
done
for bucket in quipu-landing quipu-data; do
  mc mb --ignore-existing "store/$bucket"
  mc version enable "store/$bucket"
done
for bucket in quipu-models quipu-audit; do # object lock can only be given to a bucket when it is made
  mc mb --ignore-existing --with-lock "store/$bucket"
done
mc retention set --default GOVERNANCE 365d store/quipu-models
mc retention set --default COMPLIANCE 3653d store/quipu-audit
mc ilm import store/quipu-data < /setup/lifecycle.json
for stage in ingest validate feature train evaluate deploy score monitor scorer; do
  mc admin policy create store "quipu-$stage" "/setup/$stage.json"
  user="$(cat "/run/secrets/stages/$stage/access_key")"
  mc admin user add store "$user" "$(cat "/run/secrets/stages/$stage/secret_key")"
  mc admin policy entities store --user "$user" | grep -q "quipu-$stage" || mc admin policy attach store "quipu-$stage" --user "$user"
done
echo "buckets, users and policies are in place"
