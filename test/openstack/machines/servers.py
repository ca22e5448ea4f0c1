"""Servers as the cloud's APIs tell of them, and what each needs on this host. Pure: JSON in, values out."""

import base64
import ipaddress
import json
from dataclasses import dataclass, field, replace

# As a site's KVM names the network cards of an Ubuntu guest.
FIRST_NIC = 3


@dataclass(frozen=True)
class Nic:
    name: str
    mac: str
    # "10.56.0.20/22"
    address: str
    network: str
    gateway: str
    protected: bool
    groups: tuple[str, ...]
    # Floating addresses of this card.
    public: tuple[str, ...] = ()

    @property
    def fixed(self) -> str:
        return self.address.partition("/")[0]


@dataclass(frozen=True)
class Server:
    id: str
    name: str
    # What the API says: ACTIVE, SHUTOFF, ERROR, BUILD ...
    status: str
    busy: bool
    memory: int
    user_data: str
    public_keys: dict[str, str] = field(hash=False)
    nics: tuple[Nic, ...] = ()
    # Numbers of the last rebuild and the last reboot that were asked for.
    rebuild: int = 0
    reboot: int = 0


@dataclass(frozen=True)
class Cloud:
    """Answers of the APIs, by id."""

    servers: list[dict]
    ports: list[dict]
    floating_ips: list[dict]
    groups: list[dict]
    subnets: dict[str, dict]
    images: dict[str, str]
    keys: dict[tuple[str, str], str]
    # server id -> (last rebuild, last reboot)
    actions: dict[str, tuple[int, int]]


def find_servers(cloud: Cloud, image_prefix: str) -> dict[str, Server]:
    """Servers that have, or will have, a machine."""
    found = {}
    for raw in cloud.servers:
        # A server made from a volume has "" here.
        image = (raw.get("image") or {}).get("id", "")
        if cloud.images.get(image, "").startswith(image_prefix):
            found[raw["id"]] = read_server(raw, cloud)
    return found


def read_server(raw: dict, cloud: Cloud) -> Server:
    key = raw.get("key_name")
    rebuild, reboot = cloud.actions.get(raw["id"], (0, 0))
    return Server(
        id=raw["id"],
        name=raw.get("OS-EXT-SRV-ATTR:hostname") or raw["name"],
        status=raw["status"],
        busy=raw.get("OS-EXT-STS:task_state") is not None,
        memory=raw["flavor"]["ram"] * 1024 * 1024,
        user_data=raw.get("OS-EXT-SRV-ATTR:user_data") or "",
        public_keys={key: cloud.keys[raw["user_id"], key]} if (raw["user_id"], key) in cloud.keys else {},
        nics=read_nics(raw, cloud),
        rebuild=rebuild,
        reboot=reboot,
    )


def read_nics(raw: dict, cloud: Cloud) -> tuple[Nic, ...]:
    """Cards in the server's order, which only nova knows; empty while nova and neutron differ."""
    ports = {port["mac_address"]: port for port in cloud.ports if port["device_id"] == raw["id"]}
    order = []
    for addresses in (raw.get("addresses") or {}).values():
        for address in addresses:
            mac = address["OS-EXT-IPS-MAC:mac_addr"]
            if mac in ports and mac not in order:
                order.append(mac)
    if len(order) != len(ports):
        return ()
    nics = []
    for mac in order:
        nic = read_nic(f"ens{FIRST_NIC + len(nics)}", ports[mac], cloud)
        if nic is not None:
            # A machine has one way out, as a server has: the first card's with a gateway.
            if nic.gateway and any(other.gateway for other in nics):
                nic = replace(nic, gateway="")
            nics.append(nic)
    return tuple(nics)


def read_nic(name: str, port: dict, cloud: Cloud) -> Nic | None:
    fixed = [ip for ip in port["fixed_ips"] if ipaddress.ip_address(ip["ip_address"]).version == 4]
    if not fixed:
        return None
    subnet = cloud.subnets[fixed[0]["subnet_id"]]
    prefix = ipaddress.ip_network(subnet["cidr"]).prefixlen
    return Nic(
        name=name,
        mac=port["mac_address"],
        address=f"{fixed[0]['ip_address']}/{prefix}",
        network=port["network_id"],
        gateway=subnet["gateway_ip"] or "",
        protected=port["port_security_enabled"],
        groups=tuple(sorted(port["security_groups"])),
        public=tuple(
            sorted(ip["floating_ip_address"] for ip in cloud.floating_ips if ip["port_id"] == port["id"])
        ),
    )


def seed_files(server: Server) -> dict[str, str]:
    """What cloud-init finds of the metadata service's answers, as its NoCloud source wants them."""
    meta = {
        "instance-id": server.id,
        "local-hostname": f"{server.name}.novalocal",
        "public-keys": dict(sorted(server.public_keys.items())),
    }
    return {
        "meta-data": json.dumps(meta, indent=1),
        "user-data": base64.b64decode(server.user_data).decode(errors="surrogateescape"),
    }
