"""What becomes of a server's machine."""

import unittest
from dataclasses import replace

from decisions import Record, decide
from host_network import bridge_name, strangers, wanted
from servers import Nic, Server

NIC = Nic(
    "ens3",
    "fa:16:3e:00:00:01",
    "10.56.0.20/22",
    "b230832a-3509-4f1c",
    "10.56.0.1",
    True,
    (),
    ("10.59.0.10",),
)
PRIVATE = Nic("ens4", "fa:16:3e:00:00:02", "192.168.1.11/24", "7d24927a-723e-4204", "", False, ())
SERVER = Server("one", "node1", "ACTIVE", False, 1 << 30, "", {}, (NIC, PRIVATE), rebuild=3, reboot=7)
RECORD = Record(rebuild=3, reboot=7, on=True)


class Decisions(unittest.TestCase):
    def check(self, wanted_verb, server=SERVER, record=RECORD, running=True, just_started=False):
        self.assertEqual(decide(server, record, running, just_started), wanted_verb)

    def test_an_active_server_gets_a_machine_once_its_cards_are_known(self):
        self.check("create", record=None, running=False)
        self.check(None, record=None, running=False, server=replace(SERVER, nics=()))
        self.check(None, record=None, running=False, server=replace(SERVER, status="BUILD"))
        self.check(None)

    def test_a_server_that_is_gone_or_broken_has_none(self):
        for server in (None, replace(SERVER, status="ERROR"), replace(SERVER, status="ERROR", busy=True)):
            self.check("delete", server=server)
            self.check(None, server=server, record=None)

    def test_it_follows_stop_and_start(self):
        self.check("stop", server=replace(SERVER, status="SHUTOFF"))
        self.check(
            None, server=replace(SERVER, status="SHUTOFF"), record=replace(RECORD, on=False), running=False
        )
        self.check(None, server=replace(SERVER, status="SHUTOFF"), record=None, running=False)
        self.check("start", record=replace(RECORD, on=False), running=False)

    def test_it_is_restarted_by_a_reboot_and_made_again_by_a_rebuild(self):
        self.check("restart", server=replace(SERVER, reboot=8))
        self.check("create", server=replace(SERVER, rebuild=4, reboot=8))
        self.check(None, server=replace(SERVER, reboot=8, busy=True))

    def test_switched_off_from_inside_it_stays_off_but_a_killed_one_is_started_by_the_next_watcher(self):
        self.check(None, running=False)
        self.check("start", running=False, just_started=True)

    def test_one_whose_making_was_interrupted_is_made_again(self):
        self.check("create", record=Record(-1, -1, True), running=False, just_started=True)


class Host(unittest.TestCase):
    def test_has_a_bridge_per_network_and_a_route_per_floating_address(self):
        want = wanted([(NIC, PRIVATE)])
        self.assertEqual(want.bridges, {"tc-b230832a350": True, "tc-7d24927a723": False})
        self.assertEqual(want.routes, {"10.59.0.10": ("tc-b230832a350", NIC.mac)})

    def test_cuts_nobody_off(self):
        ours = [
            {"dst": "default", "dev": "eth0"},
            {"dst": "10.59.0.10", "dev": "tc-b230832a350"},
            {"type": "unreachable", "dst": "10.59.0.0/24"},
        ]
        self.assertEqual(strangers({"10.255.255.53", "127.0.0.1"}, ours), [])
        self.assertEqual(strangers({"10.59.0.80"}, ours), ["10.59.0.80"])
        self.assertEqual(strangers(set(), [*ours, {"dst": "10.0.0.0/8", "dev": "tun0"}]), ["10.0.0.0/8"])

    def test_names_fit_the_kernel(self):
        self.assertLessEqual(len(bridge_name(NIC.network)), 15)


if __name__ == "__main__":
    unittest.main()
