# shellcheck shell=bash
# The watcher, which gives servers machines on this host. Sourced, never run.

MACHINES=$BASE/machines
WATCHER=(env PYTHONDONTWRITEBYTECODE=1 TESTCLOUD_MACHINES="$MACHINES" TESTCLOUD_SOCKET="$RUN/mysql.sock"
  OS_CLIENT_CONFIG_FILE="$CLOUDS" /usr/bin/python3 "$HERE/machines/watcher.py")

start_machines() {
  local machine image bundles=${GOURMETGRAM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/gourmetgram}/bundle
  if alive watcher; then return 0; fi
  machine=$(machine_folder)
  image=$("$HERE/image/build.sh" "$CACHE" "$machine") || fail "the machines' image cannot be made"
  remove_old_images "$image"
  phase "image of the machines"
  # Before the first bundle is made there is none to see.
  if [[ ! -d $bundles ]]; then
    bundles=$CACHE/no-bundles
    mkdir -p "$bundles"
  fi
  start watcher "${WATCHER[@]}" run "$image" "$bundles"
  wait_until watcher 20 "does not watch" grep -q watching "$LOG/watcher.out"
  phase "machines"
}

# remove_old_images PRESENT: those that no machine started from.
remove_old_images() {
  local image
  for image in "$CACHE"/image-*; do
    if [[ $image != "$1" ]] && ! grep -qsFx "image=$image" "$MACHINES"/*/machine/machine.conf; then rm -rf "$image"; fi
  done
}

# The folder with the project's machine image: $GOURMETGRAM_MACHINE_DIR, else the bundle's.
machine_folder() {
  local folder=${GOURMETGRAM_MACHINE_DIR:-}
  if [[ -z $folder ]]; then
    folder=$(cd "$HERE/../.." && "$NODE" -p 'require("./build/tools/bundle").locateBundle()?.machineDir ?? ""') || true
  fi
  [[ -d $folder/rootfs ]] || fail "there is no machine image: run 'npm run bundle' first"
  printf '%s\n' "$folder"
}

list_machines() {
  local folder pid
  for folder in "$MACHINES"/*/machine; do
    [[ -e $folder/machine.conf ]] || continue
    pid=$(cat "$folder/run/init.pid" 2>/dev/null) || pid='not running'
    printf 'machine %-36s  %s  %s\n' "$(basename "$(dirname "$folder")")" "$(conf_value "$folder/machine.conf" name)" "$pid"
  done
}

stop_machines() {
  # It ends when all machines are gone.
  stop 120 watcher
  if [[ -d $MACHINES ]]; then
    "${WATCHER[@]}" clean >>"$LOG/watcher.out" 2>&1 || fail "machines cannot be removed: see $LOG/watcher.out"
    rmdir "$MACHINES"
  fi
}
