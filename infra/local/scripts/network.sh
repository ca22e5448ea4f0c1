#!/usr/bin/env bash
# Bridge of one environment: network.sh create | delete
# Environment: GG_ENVIRONMENT_DIR GG_OWNER_STACK GG_OWNER_PROJECT GG_BRIDGE GG_GATEWAY GG_PREFIX GG_ALIAS
set -euo pipefail
scripts=$(cd "$(dirname "$0")" && pwd)
# shellcheck source-path=SCRIPTDIR source=base.sh
. "$scripts/base.sh"

need_env GG_ENVIRONMENT_DIR GG_OWNER_STACK GG_OWNER_PROJECT GG_BRIDGE GG_ALIAS
lock_folder "$GG_ENVIRONMENT_DIR"
check_owner "$GG_ENVIRONMENT_DIR"

case ${1:-} in
  create)
    need_env GG_GATEWAY GG_PREFIX
    write_owner "$GG_ENVIRONMENT_DIR"
    ensure_bridge "$GG_BRIDGE" "$GG_GATEWAY" "$GG_PREFIX" "$GG_ALIAS"
    ;;
  delete)
    # Machines of a run that was killed before the engine heard of them: ours by their owner file, wanted by nobody.
    while IFS= read -r -d '' machine; do
      GG_MACHINE_DIR=$machine "$scripts/machine.sh" delete 9<&-
    done < <(find "$GG_ENVIRONMENT_DIR" -mindepth 1 -maxdepth 1 -type d -print0)
    if [[ -e /sys/class/net/$GG_BRIDGE ]]; then
      [[ $(cat "/sys/class/net/$GG_BRIDGE/ifalias") == "$GG_ALIAS" ]] || fail "the interface $GG_BRIDGE is not ours"
      ip link delete dev "$GG_BRIDGE"
    fi
    rm -rf --one-file-system "$GG_ENVIRONMENT_DIR"
    # The last environment takes the folders above along, as far as they are ours and empty.
    root=$(dirname "$GG_ENVIRONMENT_DIR")
    rmdir "$root" 2>/dev/null || true
    if [[ ! -e $root && $(basename "$(dirname "$root")") == gourmetgram ]]; then
      rmdir "$(dirname "$root")" 2>/dev/null || true
    fi
    ;;
  *) fail "usage: network.sh create|delete" ;;
esac
