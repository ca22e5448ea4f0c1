"""Servers, as the APIs' answers make them."""

import json
import unittest

from servers import Cloud, Nic, find_servers, seed_files

SHARED = {"id": "shared-subnet", "cidr": "10.56.0.0/22", "gateway_ip": "10.56.0.1"}
PRIVATE = {"id": "private-subnet", "cidr": "192.168.1.0/24", "gateway_ip": None}


def port(number: int, subnet: str, address: str, **other) -> dict:
    return {
        "id": f"port{number}",
        "device_id": "one",
        "mac_address": f"fa:16:3e:00:00:0{number}",
        "network_id": f"{subnet}-net",
        "fixed_ips": [{"subnet_id": subnet, "ip_address": address}],
        "port_security_enabled": True,
        "security_groups": ["b", "a"],
        **other,
    }


def shown(number: int, address: str) -> dict:
    return {"addr": address, "OS-EXT-IPS-MAC:mac_addr": f"fa:16:3e:00:00:0{number}", "version": 4}


def server(**other) -> dict:
    return {
        "id": "one",
        "name": "node 1",
        "OS-EXT-SRV-ATTR:hostname": "node-1",
        "status": "ACTIVE",
        "OS-EXT-STS:task_state": None,
        "image": {"id": "ubuntu"},
        "flavor": {"ram": 4096},
        "user_id": "tester",
        "key_name": "key",
        "OS-EXT-SRV-ATTR:user_data": "I2Nsb3VkLWNvbmZpZwo=",
        "addresses": {"shared": [shown(2, "10.56.0.20")], "private": [shown(1, "192.168.1.11")]},
        **other,
    }


def cloud(**other) -> Cloud:
    values = {
        "servers": [server()],
        "ports": [
            port(1, "private-subnet", "192.168.1.11", port_security_enabled=False, security_groups=[]),
            port(2, "shared-subnet", "10.56.0.20"),
        ],
        "floating_ips": [{"floating_ip_address": "10.59.0.10", "port_id": "port2"}],
        "groups": [],
        "subnets": {one["id"]: one for one in (SHARED, PRIVATE)},
        "images": {"ubuntu": "CC-Ubuntu24.04", "other": "Windows", "": ""},
        "keys": {("tester", "key"): "ssh-ed25519 AAAA"},
        "actions": {"one": (3, 7)},
    }
    return Cloud(**{**values, **other})


class Servers(unittest.TestCase):
    def test_have_their_cards_in_the_order_nova_tells(self):
        one = find_servers(cloud(), "CC-Ubuntu")["one"]
        self.assertEqual(
            one.nics,
            (
                Nic("ens3", "fa:16:3e:00:00:02", "10.56.0.20/22", "shared-subnet-net", "10.56.0.1", True, ("a", "b"), ("10.59.0.10",)),
                Nic("ens4", "fa:16:3e:00:00:01", "192.168.1.11/24", "private-subnet-net", "", False, ()),
            ),
        )  # fmt: skip
        self.assertEqual((one.name, one.memory, one.rebuild, one.reboot), ("node-1", 4096 << 20, 3, 7))

    def test_have_no_cards_while_nova_and_neutron_differ(self):
        late = server(addresses={"shared": [shown(2, "10.56.0.20")]})
        self.assertEqual(find_servers(cloud(servers=[late]), "CC-Ubuntu")["one"].nics, ())

    def test_have_one_way_out(self):
        gateway = {**PRIVATE, "gateway_ip": "192.168.1.1"}
        one = find_servers(cloud(subnets={"shared-subnet": SHARED, "private-subnet": gateway}), "CC-Ubuntu")[
            "one"
        ]
        self.assertEqual([nic.gateway for nic in one.nics], ["10.56.0.1", ""])

    def test_of_other_images_or_volumes_are_not_ours(self):
        for image in ({"id": "other"}, "", None, {"id": "unknown"}):
            self.assertEqual(find_servers(cloud(servers=[server(image=image)]), "CC-Ubuntu"), {})

    def test_tell_cloud_init_what_the_metadata_service_would(self):
        files = seed_files(find_servers(cloud(), "CC-Ubuntu")["one"])
        self.assertEqual(files["user-data"], "#cloud-config\n")
        self.assertEqual(
            json.loads(files["meta-data"]),
            {
                "instance-id": "one",
                "local-hostname": "node-1.novalocal",
                "public-keys": {"key": "ssh-ed25519 AAAA"},
            },
        )

    def test_without_key_and_user_data_are_servers_too(self):
        bare = server(key_name=None, **{"OS-EXT-SRV-ATTR:user_data": None})
        files = seed_files(find_servers(cloud(servers=[bare]), "CC-Ubuntu")["one"])
        self.assertEqual((files["user-data"], json.loads(files["meta-data"])["public-keys"]), ("", {}))


if __name__ == "__main__":
    unittest.main()
