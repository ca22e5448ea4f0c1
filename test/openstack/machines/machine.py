"""One server's machine on this host.

<folder>/machine   what infra/local/scripts/machine.sh keeps
<folder>/seed      what cloud-init reads
<folder>/network   what network.sh reads
<folder>/record.json   what the watcher knows of it
"""

import hashlib
import json
import os
import shutil
import subprocess
from dataclasses import asdict
from pathlib import Path

from decisions import Record
from host_network import PUBLIC, bridge_name
from servers import Nic, Server, seed_files

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parent.parent.parent
SCRIPT = PROJECT / "infra/local/scripts/machine.sh"
NETWORK_SETUP = HERE / "network.sh"
SEED = "var/lib/cloud/seed/nocloud"
CGROUP_PREFIX = "testcloud-"
CABLE_PREFIX = "tcv-"


class Machine:
    def __init__(self, root: Path, server: str):
        self.id = server
        self.folder = root / server
        # Rules and addresses in effect, and the start of the machine they were given to.
        self.applied = None

    @property
    def record(self) -> Record | None:
        try:
            return Record(**json.loads((self.folder / "record.json").read_text()))
        except FileNotFoundError:
            # A machine whose making was interrupted.
            return Record(-1, -1, True) if (self.folder / "machine").exists() else None

    @record.setter
    def record(self, value: Record) -> None:
        write(self.folder / "record.json", json.dumps(asdict(value)))

    def init(self) -> tuple[str, str] | None:
        """Process number and start time (clock ticks since boot) of the machine's first process, while it runs."""
        run = self.folder / "machine/run"
        try:
            pid, start = (run / "init.pid").read_text().strip(), (run / "init.start").read_text().strip()
            now = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()[19]
        except OSError:
            return None
        return (pid, start) if now == start else None

    def script(self, verb: str, values: dict[str, str] | None = None) -> None:
        environment = {
            "PATH": os.environ["PATH"],
            "LC_ALL": "C",
            "GG_MACHINE_DIR": str(self.folder / "machine"),
            "GG_OWNER_STACK": "testcloud",
            "GG_OWNER_PROJECT": str(PROJECT),
            **(values or {}),
        }
        done = subprocess.run(
            [SCRIPT, verb],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"machine.sh {verb}: {done.stderr.strip()[-3000:]}")

    def create(self, server: Server, image: str, bundles: str) -> None:
        shutil.rmtree(self.folder / "seed", ignore_errors=True)
        seed = self.folder / "seed" / SEED
        seed.mkdir(parents=True)
        for name, text in seed_files(server).items():
            write(seed / name, text)
        short = hashlib.sha256(f"{self.folder}".encode()).hexdigest()[:8]
        nics = (
            f"{nic.name} {nic.mac} {nic.address} {bridge_name(nic.network)} {nic.gateway}".strip()
            for nic in server.nics
        )
        (self.folder / "record.json").unlink(missing_ok=True)
        self.script(
            "create",
            {
                "GG_NAME": server.name,
                "GG_INSTANCE": server.id,
                "GG_NICS": ";".join(nics),
                "GG_SEED": str(self.folder / "seed"),
                "GG_NETWORK_SETUP": str(NETWORK_SETUP),
                "GG_VETH": f"{CABLE_PREFIX}{short}",
                "GG_CGROUP": f"{CGROUP_PREFIX}{server.id}",
                "GG_MEMORY": str(server.memory),
                "GG_IMAGE": image,
                "GG_BUNDLES": bundles,
            },
        )
        self.record = Record(server.rebuild, server.reboot, True)

    def delete(self) -> None:
        self.script("delete")
        shutil.rmtree(self.folder, ignore_errors=True)
        self.applied = None

    def write_network(self, nics: tuple[Nic, ...], rules: str) -> str:
        """Leaves the files for network.sh and tells them apart from earlier ones."""
        folder = self.folder / "network"
        folder.mkdir(parents=True, exist_ok=True)
        texts = {
            "rules.nft": rules,
            "public": "".join(f"{nic.name} {PUBLIC}\n" for nic in nics if nic.gateway),
            "addresses": "".join(f"{nic.name} {address}\n" for nic in nics for address in nic.public),
        }
        for name, text in texts.items():
            write(folder / name, text)
        return hashlib.sha256(json.dumps(texts).encode()).hexdigest()

    def apply_network(self, pid: str) -> None:
        command = ["nsenter", "--target", pid, "--net", NETWORK_SETUP, str(self.folder / "machine")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"network.sh: {done.stderr.strip()[-2000:]}")


def write(path: Path, text: str) -> None:
    new = path.with_name(f"{path.name}.new")
    new.write_text(text, errors="surrogateescape")
    new.chmod(0o600)
    new.replace(path)
