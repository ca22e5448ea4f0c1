#!/bin/sh
# Makes one bucket and one user that may use this bucket only, whatever is there already.
# In: MC_HOST_minio with the administrator's credentials; BUCKET, USER_NAME; the user's password in the file
# USER_PASSWORD_FILE, the user's policy in the file minio-policy.json beside this script.
set -eu

mc="mc --config-dir /tmp/mc --disable-pager"
policy="bucket-$BUCKET"

attempt=0
until $mc ls minio >/dev/null 2>&1; do
  attempt=$((attempt + 1))
  if [ "$attempt" -ge 60 ]; then
    echo "MinIO does not answer after $attempt attempts; its last answer:" >&2
    $mc ls minio >&2 || true
    exit 1
  fi
  sleep 1
done
$mc mb --ignore-existing "minio/$BUCKET"
$mc admin policy create minio "$policy" "$(dirname "$0")/minio-policy.json"
# The password goes in on standard input: arguments can be read by everyone on the node.
$mc admin user add minio "$USER_NAME" <"$USER_PASSWORD_FILE"
$mc admin policy attach minio "$policy" --user "$USER_NAME"
echo "bucket $BUCKET of $USER_NAME ready"
