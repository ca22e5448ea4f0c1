# shellcheck shell=bash
# Configuration files from templates. Sourced, never run.
#   @NAME@           a value
#   @db NAME@        connection to the database NAME
#   @auth SECTION USER@   section with a service user's login

configure() {
  local template
  mkdir -p "$ETC"
  for template in "$HERE"/config/*.conf; do
    render "$template" "$ETC/$(basename "$template")"
  done
  mkdir -p "$ETC/placement"
  mv "$ETC/placement.conf" "$ETC/placement/placement.conf"
  for host in "${COMPUTES[@]}"; do printf '[DEFAULT]\nhost = %s\n' "$host" >"$ETC/host-$host.conf"; done
  printf '[].\n' >"$ETC/rabbitmq-plugins"
  : >"$ETC/rabbitmq-env"
}

# Before the cloud's contents exist there is no application credential: the entries that use it cannot log in yet.
configure_clients() {
  render "$HERE/config/clouds.yaml" "$CLOUDS"
}

render() {
  local password credential=none secret=none
  password=$(cat "$DATA/password")
  if [[ -e $DATA/credential ]]; then read -r credential secret <"$DATA/credential"; fi
  local db="connection = mysql+pymysql://root@localhost/\\1?unix_socket=$RUN/mysql.sock\\&charset=utf8"
  db+='\nmax_pool_size = 5\nmax_overflow = 20\nconnection_recycle_time = 280'
  local auth='[\1]\nwww_authenticate_uri = http://127.0.0.1:5000\nauth_url = http://127.0.0.1:5000\nauth_type = password'
  auth+='\nproject_domain_name = Default\nuser_domain_name = Default\nproject_name = service'
  auth+="\nusername = \\2\npassword = $password\nregion_name = RegionOne"
  sed -E -e "s|^@db (\w+)@$|$db|" -e "s|^@auth (\w+) (\w+)@$|$auth|" -e "s|@LOG@|$LOG|" -e "s|@DATA@|$DATA|" \
    -e "s|@RUN@|$RUN|" -e "s|@CACHE@|$CACHE|" -e "s|@PASSWORD@|$password|" -e "s|@TOKEN_SECONDS@|$TOKEN_SECONDS|" \
    -e "s|@CREDENTIAL_ID@|$credential|" -e "s|@CREDENTIAL_SECRET@|$secret|" "$1" | write_file "$2" 600
}
