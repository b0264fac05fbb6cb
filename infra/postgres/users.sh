#!/usr/bin/env bash
# Run once by the first start of PostgreSQL, as its superuser: a user for each service that keeps rows, who owns its schema and nothing else.
# The passwords are those of the services' password files (*:*:*:USER:PASSWORD).
set -euo pipefail
for file in /run/secrets/postgres-orchestrator /run/secrets/postgres-pipeline-api; do
  IFS=: read -r _ _ _ user password < "$file"
  psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --set user="$user" --set password="$password" << 'SQL'
CREATE ROLE :"user" LOGIN PASSWORD :'password';
CREATE SCHEMA :"user" AUTHORIZATION :"user";
SQL
done
psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --set database="$PGDATABASE" << 'SQL'
REVOKE ALL ON DATABASE :"database" FROM PUBLIC;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT CONNECT ON DATABASE :"database" TO orchestrator, pipeline_api;
SQL
