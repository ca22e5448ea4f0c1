"""Gives every ACTIVE server of the test cloud a machine on this host, for as long as it runs.

watcher.py run IMAGE BUNDLES   until SIGTERM, then removes all machines
watcher.py clean               removes what a killed watcher left
Environment: TESTCLOUD_MACHINES (folder), TESTCLOUD_SOCKET (database), OS_CLIENT_CONFIG_FILE.
"""

import os
import signal
import sys
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import host_network
import packet_filter
from decisions import decide
from machine import Machine
from servers import Server, find_servers

IMAGE_PREFIX = "CC-Ubuntu"
# Between looks for changes, and between reads of everything whether or not a change was seen.
LOOK_SECONDS = 0.25
READ_SECONDS = 10
# After a failure, before the same is tried again.
RETRY_SECONDS = 5
# A machine younger than this is still setting up its own network.
YOUNG_SECONDS = 1


def age(start: str) -> float:
    """Seconds since a start time in clock ticks."""
    return float(Path("/proc/uptime").read_text().split()[0]) - int(start) / os.sysconf("SC_CLK_TCK")


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


class Watcher:
    def __init__(self, root: Path, image: str, bundles: str, reader):
        self.root, self.image, self.bundles, self.reader = root, image, bundles, reader
        self.machines = {path.name: Machine(root, path.name) for path in root.iterdir() if path.is_dir()}
        self.unseen = set(self.machines)
        self.jobs: dict[str, Future] = {}
        self.failed: dict[str, float] = {}
        self.ended = threading.Event()
        self.woken = threading.Event()
        self.pool = ThreadPoolExecutor(max_workers=8)
        self.network = None

    def run(self) -> None:
        seen, read_at = {}, 0.0
        while not self.ended.is_set():
            try:
                now = self.reader.fingerprint()
                all_of_it = time.monotonic() - read_at > READ_SECONDS
                changed = {part for part in now if all_of_it or now[part] != seen.get(part)}
                if changed or self.woken.is_set():
                    self.woken.clear()
                    self.reconcile(self.reader.read(changed))
                    seen = now
                    read_at = time.monotonic() if all_of_it else read_at
            except Exception as problem:
                say(f"not read: {problem!r}")
                seen, read_at = {}, 0.0
                self.ended.wait(1)
            self.ended.wait(LOOK_SECONDS)

    def reconcile(self, cloud) -> None:
        servers = find_servers(cloud, IMAGE_PREFIX)
        members = packet_filter.group_members(cloud.ports)
        groups = {group["id"]: group for group in cloud.groups}
        for server in servers.values():
            if server.id not in self.machines:
                self.machines[server.id] = Machine(self.root, server.id)
        connected = [
            server.nics
            for server in servers.values()
            if server.nics and (server.status == "ACTIVE" or self.machines[server.id].record is not None)
        ]
        want = host_network.wanted(connected)
        host_network.add_missing(want)
        for machine in list(self.machines.values()):
            server = servers.get(machine.id)
            # The files are there before a machine starts, which reads them itself.
            if server is not None and server.nics in connected:
                rules = packet_filter.render(server.nics, groups, members, host_network.PUBLIC)
                self.connect(machine, server, rules)
            self.look_after(machine, server)
        # A machine that is being removed is still on its bridges.
        busy = any(not job.done() for job in self.jobs.values())
        kept = dict.fromkeys(host_network.our_bridges(), False) if busy else {}
        host_network.remove_surplus(replace(want, bridges=kept | want.bridges))

    def connect(self, machine: Machine, server: Server, rules: str) -> None:
        try:
            version = machine.write_network(server.nics, rules)
            init = machine.init()
            if init is None or machine.applied == (init, version):
                return
            if age(init[1]) < YOUNG_SECONDS:
                # It is doing so itself.
                self.woken.set()
                return
            machine.apply_network(init[0])
            if machine.applied is not None and machine.applied[0] == init:
                say(f"{server.name}: addresses and rules changed")
            machine.applied = (init, version)
        except Exception as problem:
            say(f"{server.name}: network not set: {problem}")

    def look_after(self, machine: Machine, server: Server | None) -> None:
        job = self.jobs.get(machine.id)
        if job is not None:
            if not job.done():
                return
            del self.jobs[machine.id]
        if time.monotonic() < self.failed.get(machine.id, 0):
            return
        verb = decide(server, machine.record, machine.init() is not None, machine.id in self.unseen)
        self.unseen.discard(machine.id)
        if verb is not None:
            self.jobs[machine.id] = self.pool.submit(self.work, machine, server, verb)
        elif server is None:
            # A folder without a record is what a killed watcher had just begun.
            if machine.folder.exists():
                self.jobs[machine.id] = self.pool.submit(self.work, machine, server, "delete")
            else:
                del self.machines[machine.id]

    def work(self, machine: Machine, server: Server | None, verb: str) -> None:
        name = f"{server.name if server else 'a machine'} ({machine.id[:8]})"
        began = time.monotonic()
        say(f"{name}: {verb}")
        try:
            self.do(machine, server, verb)
            self.failed.pop(machine.id, None)
            say(f"{name}: {verb} took {time.monotonic() - began:.1f} s")
        except Exception as problem:
            say(f"{name}: {verb} failed: {problem}")
            self.failed[machine.id] = time.monotonic() + RETRY_SECONDS
        self.woken.set()

    def do(self, machine: Machine, server: Server | None, verb: str) -> None:
        if verb == "create":
            machine.create(server, self.image, self.bundles)
        elif verb == "delete":
            machine.delete()
        else:
            machine.script(verb)
            machine.record = replace(machine.record, on=verb != "stop", reboot=server.reboot)

    def close(self) -> bool:
        """Ends what runs and removes everything; whether it succeeded."""
        self.pool.shutdown(wait=True, cancel_futures=True)
        return clean(self.root)


def clean(root: Path) -> bool:
    """Whether nothing is left."""
    whole = True
    folders = [path.name for path in root.iterdir() if path.is_dir()] if root.exists() else []
    with ThreadPoolExecutor(max_workers=8) as pool:
        for server, problem in zip(folders, pool.map(lambda name: delete(root, name), folders), strict=True):
            if problem is not None:
                say(f"{server}: {problem}")
                whole = False
    host_network.remove_surplus(host_network.wanted([]))
    host_network.close_public()
    return whole


def delete(root: Path, server: str) -> Exception | None:
    try:
        Machine(root, server).delete()
    except Exception as problem:
        return problem
    return None


def main(command: str, *arguments: str) -> None:
    root = Path(os.environ["TESTCLOUD_MACHINES"])
    if command == "clean":
        sys.exit(0 if clean(root) else 1)
    # Only here, so that cleaning needs no cloud.
    from cloud_reader import CloudReader

    root.mkdir(parents=True, exist_ok=True)
    watcher = Watcher(root, *arguments, CloudReader(os.environ["TESTCLOUD_SOCKET"]))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: watcher.ended.set())
    host_network.open_public()
    say(f"watching, machines start from {watcher.image}")
    try:
        watcher.run()
    finally:
        say("ended, everything removed" if watcher.close() else "ended, not everything could be removed")


main(*sys.argv[1:])
