#!/bin/sh
# Runs after PostgreSQL's packages are installed.
set -eu
lib=/usr/lib/postgresql/15
share=/usr/share/postgresql/15
# The just-in-time compiler's LLVM is two thirds of the image; PostgreSQL runs without it when the provider is absent.
rm -rf "$lib"/lib/bitcode "$lib"/lib/llvmjit* /usr/lib/x86_64-linux-gnu/libLLVM* /usr/lib/llvm-* /usr/lib/x86_64-linux-gnu/libz3*
# Debian's commands are wrappers in Perl that look for clusters of several versions: there is one version here.
for command in "$lib"/bin/*; do
  ln -sf "$command" "/usr/bin/${command##*/}"
done
dpkg --remove --force-depends perl perl-modules-5.36 libperl5.36 libjson-perl > /dev/null
rm -rf /usr/share/perl /usr/share/i18n
sed -i "s/^#\?listen_addresses = .*/listen_addresses = '*'/; s/^#\?jit = .*/jit = off/" "$share/postgresql.conf.sample"
grep -q "^listen_addresses = '\*'" "$share/postgresql.conf.sample"
mkdir -p /var/lib/postgresql/data /var/run/postgresql
chown -R 999:999 /var/lib/postgresql
# The private key made by the ssl-cert package would be the same in every copy of this image.
rm -f /etc/ssl/private/* /etc/ssl/certs/ssl-cert-snakeoil.pem
