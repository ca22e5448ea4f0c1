"""Bridges and routes on this host: one bridge per network with machines, one route per floating address."""

import hashlib
import ipaddress
import json
import re
import socket
import struct
import subprocess
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from servers import Nic

BRIDGE_PREFIX = "tc-"
ALIAS = "gourmetgram test cloud"
# The one address of the cloud this host has.
HOST_ADDRESS = "10.59.0.1"
PUBLIC = "10.59.0.0/24"
# Any of these in the network of floating addresses would be cut off: it happened.
REGISTRIES = ("deb.debian.org", "pypi.org", "registry.npmjs.org", "proxy.golang.org")


def bridge_name(network: str) -> str:
    return BRIDGE_PREFIX + network.replace("-", "")[:11]


@dataclass(frozen=True)
class Wanted:
    # Bridge -> whether floating addresses may be on it; a network without a way out has none of this host's addresses.
    bridges: dict[str, bool]
    # floating address -> (bridge, hardware address)
    routes: dict[str, tuple[str, str]]


def wanted(machines: list[tuple[Nic, ...]]) -> Wanted:
    """What machines with these cards need of the host."""
    cards = [nic for nics in machines for nic in nics]
    return Wanted(
        bridges={
            bridge_name(network): any(nic.gateway or nic.public for nic in cards if nic.network == network)
            for network in {nic.network for nic in cards}
        },
        routes={address: (bridge_name(nic.network), nic.mac) for nic in cards for address in nic.public},
    )


def ip(*arguments: str) -> None:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")


def ip_json(*arguments: str) -> list[dict]:
    out = subprocess.run(["ip", "-json", *arguments], capture_output=True, text=True, check=True).stdout
    return json.loads(out or "[]")


def our_bridges() -> set[str]:
    names = (path.name for path in Path("/sys/class/net").iterdir() if path.name.startswith(BRIDGE_PREFIX))
    return {name for name in names if read(f"/sys/class/net/{name}/ifalias") == ALIAS}


def our_routes() -> dict[str, str]:
    """Floating address -> bridge, as the kernel has it."""
    return {
        route["dst"]: route["dev"]
        for route in ip_json("-4", "route", "show", "root", PUBLIC)
        if route.get("dev", "").startswith(BRIDGE_PREFIX)
    }


def bridge_address(name: str) -> str:
    """Hardware address of a bridge, always the same."""
    digest = hashlib.sha256(name.encode()).hexdigest()
    return ":".join(["02", *(digest[at : at + 2] for at in range(0, 10, 2))])


def add_bridge(name: str, public: bool) -> None:
    # Without one of its own it would have that of one of its cables: with that machine gone, the others would talk to it for seconds.
    address = bridge_address(name)
    ip("link", "add", "name", name, "address", address, "type", "bridge", "stp_state", "0", "forward_delay", "0")
    ip("link", "set", "dev", name, "alias", ALIAS)
    # No IPv6 on it; the setting ends with the bridge.
    setting = Path(f"/proc/sys/net/ipv6/conf/{name}/disable_ipv6")
    if setting.exists():
        setting.write_text("1")
    if public:
        ip("address", "add", f"{HOST_ADDRESS}/32", "dev", name)
    ip("link", "set", "dev", name, "up")


def strangers(addresses: set[str], routes: list[dict]) -> list[str]:
    """What of this host's world is in the network of floating addresses, which would be cut off."""
    network = ipaddress.ip_network(PUBLIC)
    found = {one for one in addresses if ipaddress.ip_address(one) in network}
    for route in routes:
        ours = route.get("dev", "").startswith(BRIDGE_PREFIX) or route.get("type") == "unreachable"
        if not ours and route["dst"] != "default" and network.overlaps(ipaddress.ip_network(route["dst"])):
            found.add(route["dst"])
    return sorted(found)


def known_addresses() -> set[str]:
    """Name servers and package registries."""
    words = read("/etc/resolv.conf").split()
    texts = [after for word, after in pairwise(words) if word == "nameserver"]
    commands = [["timeout", "3", "getent", "ahostsv4", name] for name in REGISTRIES]
    for command in commands:
        texts += subprocess.run(command, capture_output=True, text=True, check=False).stdout.split()
    return {text for text in texts if re.fullmatch(r"\d+(\.\d+){3}", text)}


def open_public() -> None:
    """Keeps what is meant for floating addresses on this host, those nobody has among them."""
    if found := strangers(known_addresses(), ip_json("-4", "route", "show")):
        raise RuntimeError(f"the network of floating addresses, {PUBLIC}, is in use here: {', '.join(found)}")
    ip("route", "replace", "unreachable", PUBLIC)


def close_public() -> None:
    if ip_json("-4", "route", "show", "type", "unreachable", "exact", PUBLIC):
        ip("route", "delete", "unreachable", PUBLIC)


def add_missing(want: Wanted) -> None:
    present = our_bridges()
    for name, public in want.bridges.items():
        if name not in present:
            add_bridge(name, public)
    routes = our_routes()
    neighbours = {
        (one["dst"], one.get("lladdr")) for one in ip_json("-4", "neigh", "show", "nud", "permanent")
    }
    for address, (bridge, mac) in want.routes.items():
        if routes.get(address) != bridge:
            ip("address", "replace", f"{HOST_ADDRESS}/32", "dev", bridge)
            ip("route", "replace", f"{address}/32", "dev", bridge, "src", HOST_ADDRESS)
        if (address, mac) not in neighbours:
            # A moved address has another card behind it; without this the old one is asked for a minute.
            ip("neigh", "replace", address, "lladdr", mac, "dev", bridge, "nud", "permanent")
            announce(bridge, address, mac)


def remove_surplus(want: Wanted) -> None:
    for address, bridge in our_routes().items():
        if want.routes.get(address, ("",))[0] != bridge:
            ip("route", "delete", f"{address}/32", "dev", bridge)
    for one in ip_json("-4", "neigh", "show", "nud", "permanent"):
        if one["dev"].startswith(BRIDGE_PREFIX) and want.routes.get(one["dst"], ("",))[0] != one["dev"]:
            ip("neigh", "delete", one["dst"], "dev", one["dev"])
    for name in our_bridges() - want.bridges.keys():
        ip("link", "delete", "dev", name)


def announce(bridge: str, address: str, mac: str) -> None:
    """Tells the machines on the bridge who has an address now."""
    hardware, protocol = bytes.fromhex(mac.replace(":", "")), socket.inet_aton(address)
    header = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 2)
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
        raw.bind((bridge, 0x0806))
        own = raw.getsockname()[4]
        raw.send(b"\xff" * 6 + own + b"\x08\x06" + header + (hardware + protocol) * 2)


def read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""
