"""Security groups as nftables rules of one machine. Pure.

The table filters what comes in through a card before address translation of the machine's own (Kubernetes' NodePorts) sees it,
so ports are judged by the number the sender used, as a cloud does it. Floating addresses are translated one to one without
state, as a cloud's router does it: the machine sees its fixed address only.
"""

from servers import Nic

TABLE = "testcloud"
# Put on connections that came in through a floating address, so that their answers leave with it.
MARK = 0x10000


def render(nics: tuple[Nic, ...], groups: dict[str, dict], members: dict[str, set[str]], public: str) -> str:
    """
    :param groups: neutron's security groups by id, with their rules
    :param members: fixed addresses of the ports in each group
    :param public: network of floating addresses
    """
    filters = [line for nic in nics if nic.protected for line in filter_lines(nic, groups, members)]
    translated = [(nic, address) for nic in nics for address in nic.public]
    lines = [
        f"table inet {TABLE}",
        f"delete table inet {TABLE}",
        f"table inet {TABLE} {{",
        *chain(
            "arriving",
            "filter hook prerouting priority raw",
            [
                f'iifname "{nic.name}" ip daddr {address} meta mark set {MARK + at} ip daddr set {nic.fixed}'
                for at, (nic, address) in enumerate(translated)
            ],
        ),
        *chain(
            "judged",
            "filter hook prerouting priority mangle",
            [
                *(
                    [f"meta mark & {MARK} == {MARK} ct mark set meta mark meta mark set 0"]
                    if translated
                    else []
                ),
                *(["ct state established,related accept"] if filters else []),
                *filters,
            ],
        ),
        *chain(
            "leaving",
            "filter hook postrouting priority 300",
            [
                *(
                    f'oifname "{nic.name}" ip saddr {nic.fixed} ct direction reply ct mark {MARK + at} ip saddr set {address} accept'
                    for at, (nic, address) in enumerate(translated)
                ),
                *(
                    f'oifname "{nic.name}" ip saddr {nic.fixed} ip daddr {public} ip saddr set {address} accept'
                    for nic, address in translated
                ),
            ],
        ),
        "}",
    ]
    return "\n".join(lines) + "\n"


def chain(name: str, hook: str, rules: list[str]) -> list[str]:
    return [f" chain {name} {{", f"  type {hook}; policy accept;", *(f"  {rule}" for rule in rules), " }"]


def filter_lines(nic: Nic, groups: dict[str, dict], members: dict[str, set[str]]) -> list[str]:
    card = f'iifname "{nic.name}"'
    allowed = {
        match
        for group in nic.groups
        for rule in groups.get(group, {}).get("security_group_rules", [])
        if (match := rule_match(rule, members)) is not None
    }
    return [*(f"{card} {match} accept".replace("  ", " ") for match in sorted(allowed)), f"{card} drop"]


def rule_match(rule: dict, members: dict[str, set[str]]) -> str | None:
    """What a packet must be like; `None` for a rule that lets none of ours in."""
    if rule["direction"] != "ingress" or rule["ethertype"] != "IPv4":
        return None
    source = "meta nfproto ipv4"
    if rule["remote_group_id"]:
        addresses = sorted(members.get(rule["remote_group_id"], ()))
        if not addresses:
            return None
        source = f"ip saddr {{ {', '.join(addresses)} }}"
    elif rule["remote_ip_prefix"] and rule["remote_ip_prefix"] != "0.0.0.0/0":
        source = f"ip saddr {rule['remote_ip_prefix']}"
    return f"{source} {protocol_match(rule)}".strip()


def protocol_match(rule: dict) -> str:
    protocol, low, high = rule["protocol"], rule["port_range_min"], rule["port_range_max"]
    if protocol in (None, "any", "0", 0):
        return ""
    name = {"6": "tcp", "17": "udp", "1": "icmp"}.get(str(protocol), str(protocol))
    if name == "icmp":
        # Neutron keeps type and code where other protocols have ports.
        kind = "" if low is None else f" icmp type {low}" + ("" if high is None else f" icmp code {high}")
        return f"meta l4proto icmp{kind}"
    if low is None or name not in ("tcp", "udp", "sctp", "dccp", "udplite"):
        return f"meta l4proto {name}"
    return f"{name} dport {low}" if low == high else f"{name} dport {low}-{high}"


def group_members(ports: list[dict]) -> dict[str, set[str]]:
    members: dict[str, set[str]] = {}
    for port in ports:
        for group in port["security_groups"]:
            members.setdefault(group, set()).update(
                ip["ip_address"] for ip in port["fixed_ips"] if ":" not in ip["ip_address"]
            )
    return members
