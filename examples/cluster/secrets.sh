#!/bin/sh
# Writes the secrets of compose.yaml into a new folder `secrets` beside it. Only its owner may enter the folder; the
# files are readable, since each container has a user of its own.
set -eu
cd "$(dirname "$0")"
umask 077
mkdir secrets
cd secrets
random() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }

redis=$(random)
printf '%s' "$redis" > redis_password
printf 'requirepass %s\nmasterauth %s\n' "$redis" "$redis" > redis.conf
printf 'redis+cluster://:%s@redis-1:6379' "$redis" > redis_url
random > minio_password
printf 'admin:%s\n' "$(random)" > api_keys
chmod 644 ./*
