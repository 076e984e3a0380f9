#!/usr/bin/env bash
# The MLflow server: DATABASE (postgresql://...), ARTIFACTS (folder or s3://...), and the variables of its authentication,
# MLFLOW_AUTH_ADMIN_PASSWORD and MLFLOW_FLASK_SERVER_SECRET_KEY. HOST, PORT and ALLOWED_HOSTS have defaults.
set -euo pipefail
: "${DATABASE:?}" "${ARTIFACTS:?}" "${MLFLOW_AUTH_ADMIN_PASSWORD:?}" "${MLFLOW_FLASK_SERVER_SECRET_KEY:?}"
# Brings an older database to this version; a new one is made by the server itself.
if mlflow db upgrade "$DATABASE"; then echo "database is up to date"; fi
# Users and their rights live in the same database, or every restart of the container would forget them.
settings=$(mktemp)
cat > "$settings" <<INI
[mlflow]
default_permission = READ
database_uri = ${DATABASE//%/%%}
admin_username = ${MLFLOW_AUTH_ADMIN_USERNAME:-admin}
admin_password = ${MLFLOW_AUTH_ADMIN_PASSWORD//%/%%}
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
INI
export MLFLOW_AUTH_CONFIG_PATH=$settings
export MLFLOW_BACKEND_STORE_URI=$DATABASE  # as an argument every process of the machine could read its password
exec mlflow server --app-name basic-auth --artifacts-destination "$ARTIFACTS" \
  --host "${HOST:-0.0.0.0}" --port "${PORT:-5000}" --workers "${WORKERS:-2}" --allowed-hosts "${ALLOWED_HOSTS:-*}"
