#!/bin/sh
# Runs after git is installed.
set -eu
# Perl's library is half of this layer and serves git's mail and Subversion commands alone. Its packages stay on record,
# so that more can be installed on top; what Debian's own scripts need is in perl-base.
rm -rf /usr/share/perl /usr/share/perl5/Git* /usr/lib/x86_64-linux-gnu/perl /usr/lib/x86_64-linux-gnu/libperl.so.*
# The web interface, and hooks that are only examples.
rm -rf /usr/share/gitweb /usr/share/git-core/templates/hooks/*.sample
git --version
