# shellcheck shell=bash
# The fault proxy in front of the APIs. Sourced, never run.

FAULTS=$BASE/faults.json

# A cloud starts without faults.
start_faults() {
  rm -f "$FAULTS"
  start faults env PYTHONDONTWRITEBYTECODE=1 /usr/bin/python3 "$LIB/faults/proxy.py" "$FAULTS" "$LOG/faults.jsonl"
  wait_until faults 20 "does not listen" listens 11234
}
