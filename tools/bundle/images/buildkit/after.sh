#!/bin/sh
# Runs after BuildKit's companions are installed: an unprivileged user with a range of user ids for its builds.
set -eu
groupadd --gid 1000 user
useradd --uid 1000 --gid 1000 --home-dir /home/user --create-home --shell /bin/sh user
for file in /etc/subuid /etc/subgid; do
  echo 'user:100000:65536' > "$file"
done
mkdir -p /home/user/.local/share/buildkit /home/user/.local/tmp /home/user/.config/buildkit /run/user/1000
chown -R 1000:1000 /home/user
# These two write the id maps of a user's own namespace. Debian has them setuid, which does not do in a pod: root without
# CAP_SYS_ADMIN does not own the namespace. With just the one capability each they run as the user, who does.
chmod 0755 /usr/bin/newuidmap /usr/bin/newgidmap
setcap cap_setuid=ep /usr/bin/newuidmap
setcap cap_setgid=ep /usr/bin/newgidmap
