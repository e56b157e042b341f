# shellcheck shell=bash
# The image of PostgreSQL runs this when it has created an empty database: the roles and the database of Placet.
for role in placet_owner placet_writer; do
  password=$(cut -d: -f5 "/etc/placet/database/$role")
  psql --set ON_ERROR_STOP=1 --username postgres --command "CREATE ROLE $role LOGIN PASSWORD '$password'"
done
createdb --username postgres --owner placet_owner --encoding UTF8 --template template0 placet
