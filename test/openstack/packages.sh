# shellcheck shell=bash
# What the cloud is made of, installed where missing. Sourced, never run.

APT=(
  nice -n 10 apt-get -q -o DPkg::Lock::Timeout=600 -o Dpkg::Use-Pty=0
  -o Dpkg::Options::=--force-unsafe-io -o Dpkg::Options::=--force-confold
)

install_everything() {
  install_packages
  unpack_paste
  install_blazar
}

install_packages() {
  local package missing=() policy=/usr/sbin/policy-rc.d
  for package in "${PACKAGES[@]}"; do
    dpkg-query --show --showformat='${Status}' "$package" 2>/dev/null | grep -q '^install ok installed' || missing+=("$package")
  done
  ((${#missing[@]} > 0)) || return 0
  # The packages' scripts must not start anything.
  if [[ ! -e $policy ]]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
    trap 'rm -f /usr/sbin/policy-rc.d' EXIT
  fi
  "${APT[@]}" update >"$LOG/apt-update.log" 2>&1 || true
  "${APT[@]}" -y --no-install-recommends --download-only install "${missing[@]}" >"$LOG/apt-download.log" 2>&1 ||
    fail "packages cannot be downloaded: see $LOG/apt-download.log"
  phase "packages downloaded"
  "${APT[@]}" -y --no-install-recommends install "${missing[@]}" >"$LOG/apt-install.log" 2>&1 ||
    fail "packages cannot be installed: see $LOG/apt-install.log"
  if [[ -n $(trap -p EXIT) ]]; then
    rm -f "$policy"
    trap - EXIT
  fi
  phase "packages installed"
}

unpack_paste() {
  local scratch=$CACHE/paste.new
  [[ ! -d $CACHE/paste ]] || return 0
  rm -rf "$scratch"
  mkdir -p "$scratch/debs"
  (
    cd "$scratch/debs" || exit
    apt-get -q download "${PASTE_PACKAGES[@]}" >"$LOG/apt-paste.log" 2>&1 || fail "see $LOG/apt-paste.log"
    for package in *.deb; do dpkg-deb -x "$package" tree; done
    cp tree/usr/share/nova-common/api-paste.ini ../nova-api-paste.ini
    cp tree/usr/share/glance-common/glance-api-paste.ini ../glance-api-paste.ini
    cp tree/usr/share/neutron-common/api-paste.ini ../neutron-api-paste.ini
  )
  rm -rf "$scratch/debs"
  mv "$scratch" "$CACHE/paste"
  phase "paste.ini files"
}

# Not in Debian 12. The scheduler's filter runs inside Debian's nova-scheduler: a folder of its own, without dependencies.
install_blazar() {
  local pip=("$VENV/bin/pip" install -q --disable-pip-version-check)
  [[ ! -e $VENV/.complete ]] || return 0
  rm -rf "$VENV" "$BLAZAR_NOVA"
  /usr/bin/python3 -m venv "$VENV"
  {
    nice -n 10 "${pip[@]}" "blazar==$BLAZAR_VERSION" PyMySQL python-blazarclient python-openstackclient
    nice -n 10 "${pip[@]}" --no-deps --target "$BLAZAR_NOVA" "blazar-nova==$BLAZAR_NOVA_VERSION"
  } >"$LOG/pip-blazar.log" 2>&1 || fail "blazar cannot be installed: see $LOG/pip-blazar.log"
  : >"$VENV/.complete"
  phase "blazar from PyPI"
}
