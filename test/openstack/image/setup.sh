#!/bin/sh
# Run inside the image by tools/bundle/runInside.sh: turns the machines' root file system into one that sets itself up.
set -eu
apt-get -q update
apt-get -q install -y --no-install-recommends cloud-init sudo python3 libnss-myhostname
apt-get clean
rm -rf /var/lib/apt/lists/* /var/log/apt /var/log/dpkg.log /var/log/cloud-init*
find /etc/cloud/cloud.cfg.d -type f ! -name 05_logging.cfg -delete
rm -f /etc/ssh/ssh_host_*
cp /run/build/cloud.cfg /etc/cloud/cloud.cfg
printf 'policy: enabled\n' >/etc/cloud/ds-identify.cfg
# No card is plugged in later.
systemctl mask cloud-init-hotplugd.socket cloud-init-hotplugd.service >/dev/null 2>&1
: >/etc/machine-id
rm -f /etc/hostname
