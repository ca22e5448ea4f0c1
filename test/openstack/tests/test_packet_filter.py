"""Security groups as packet filter rules."""

import unittest

from packet_filter import filter_lines, group_members, render, rule_match
from servers import Nic

PUBLIC = "10.59.0.0/24"


def rule(**other) -> dict:
    return {
        "direction": "ingress",
        "ethertype": "IPv4",
        "protocol": "tcp",
        "port_range_min": 22,
        "port_range_max": 22,
        "remote_ip_prefix": None,
        "remote_group_id": None,
        **other,
    }


def nic(**other) -> Nic:
    values = {
        "name": "ens3",
        "mac": "fa:16:3e:00:00:01",
        "address": "10.56.0.20/22",
        "network": "net",
        "gateway": "10.56.0.1",
        "protected": True,
        "groups": ("ssh",),
    }
    return Nic(**{**values, **other})


class Rules(unittest.TestCase):
    def test_become_matches(self):
        every = "meta nfproto ipv4"
        for change, wanted in (
            ({}, f"{every} tcp dport 22"),
            ({"remote_ip_prefix": "0.0.0.0/0"}, f"{every} tcp dport 22"),
            ({"remote_ip_prefix": "10.0.0.0/8"}, "ip saddr 10.0.0.0/8 tcp dport 22"),
            ({"port_range_max": 25}, f"{every} tcp dport 22-25"),
            ({"port_range_min": None, "port_range_max": None}, f"{every} meta l4proto tcp"),
            ({"protocol": "17"}, f"{every} udp dport 22"),
            ({"protocol": None, "port_range_min": None, "port_range_max": None}, every),
            ({"protocol": "icmp", "port_range_min": None, "port_range_max": None}, f"{every} meta l4proto icmp"),
            ({"protocol": "icmp", "port_range_min": 8, "port_range_max": 0}, f"{every} meta l4proto icmp icmp type 8 icmp code 0"),
            ({"protocol": "89", "port_range_min": None}, f"{every} meta l4proto 89"),
            ({"remote_group_id": "peers"}, "ip saddr { 10.56.0.20, 10.56.0.21 } tcp dport 22"),
        ):  # fmt: skip
            with self.subTest(change):
                self.assertEqual(rule_match(rule(**change), {"peers": {"10.56.0.21", "10.56.0.20"}}), wanted)

    def test_that_let_nothing_of_ours_in_are_left_out(self):
        for change in ({"direction": "egress"}, {"ethertype": "IPv6"}, {"remote_group_id": "nobody"}):
            self.assertIsNone(rule_match(rule(**change), {}))

    def test_of_several_groups_are_joined_and_the_rest_is_dropped(self):
        groups = {
            "ssh": {"security_group_rules": [rule()]},
            "web": {"security_group_rules": [rule(port_range_min=80, port_range_max=80), rule()]},
        }
        self.assertEqual(
            filter_lines(nic(groups=("ssh", "web")), groups, {}),
            [
                'iifname "ens3" meta nfproto ipv4 tcp dport 22 accept',
                'iifname "ens3" meta nfproto ipv4 tcp dport 80 accept',
                'iifname "ens3" drop',
            ],
        )

    def test_no_group_lets_nothing_in(self):
        self.assertEqual(filter_lines(nic(groups=()), {}, {}), ['iifname "ens3" drop'])

    def test_members_of_a_group_are_the_addresses_of_its_ports(self):
        ports = [
            {
                "security_groups": ["a", "b"],
                "fixed_ips": [{"ip_address": "10.0.0.1"}, {"ip_address": "fd00::1"}],
            },
            {"security_groups": ["a"], "fixed_ips": [{"ip_address": "10.0.0.2"}]},
        ]
        self.assertEqual(group_members(ports), {"a": {"10.0.0.1", "10.0.0.2"}, "b": {"10.0.0.1"}})


class Tables(unittest.TestCase):
    def test_an_open_card_has_no_rule(self):
        self.assertNotIn("ens4", render((nic(name="ens4", protected=False),), {}, {}, PUBLIC))

    def test_are_replaced_in_one_step(self):
        self.assertTrue(
            render((nic(),), {}, {}, PUBLIC).startswith("table inet testcloud\ndelete table inet testcloud\n")
        )

    def test_floating_addresses_are_translated_before_they_are_judged_and_back_when_answered(self):
        text = render((nic(public=("10.59.0.10", "10.59.0.11")),), {}, {}, PUBLIC)
        self.assertIn('iifname "ens3" ip daddr 10.59.0.11 meta mark set 65537 ip daddr set 10.56.0.20', text)
        self.assertIn("ct direction reply ct mark 65537 ip saddr set 10.59.0.11 accept", text)
        self.assertLess(text.index("priority raw"), text.index("priority mangle"))
        self.assertNotIn("10.56.0.20 accept", text)


if __name__ == "__main__":
    unittest.main()
