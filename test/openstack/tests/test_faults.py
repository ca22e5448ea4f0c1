"""The fault proxy: its rules, and the proxy itself in front of a small server."""

import http.client
import json
import tempfile
import threading
import time
import unittest
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import proxy
from fault_rules import Rules


class Matching(unittest.TestCase):
    def rules(self, *raw, now=0.0):
        self.now = now
        return Rules(list(raw), lambda: self.now, 0)

    def met(self, rules, *request):
        found = rules.find(*request)
        return None if found is None else found[0]

    def test_every_named_part_must_fit_and_the_first_rule_wins(self):
        rules = self.rules(
            {"service": "nova", "method": "POST", "path": "/servers$", "action": "reset"},
            {"service": "nova", "action": "hang"},
        )
        self.assertEqual(self.met(rules, "nova", "POST", "/v2.1/servers"), 0)
        self.assertEqual(self.met(rules, "nova", "GET", "/v2.1/servers"), 1)
        self.assertIsNone(self.met(rules, "neutron", "POST", "/v2.1/servers"))

    def test_skip_and_times_count_matching_requests(self):
        rules = self.rules({"method": "GET", "action": "reset", "skip": 1, "times": 2})
        met = [self.met(rules, "nova", method, "/") for method in ("GET", "POST", "GET", "GET", "GET")]
        self.assertEqual(met, [None, None, 0, 0, None])

    def test_seconds_end_it(self):
        rules = self.rules({"action": "reset", "seconds": 5})
        self.now = 5
        self.assertEqual(self.met(rules, "nova", "GET", "/"), 0)
        self.now = 5.1
        self.assertIsNone(self.met(rules, "nova", "GET", "/"))

    def test_nonsense_is_refused(self):
        for raw in ({"action": "explode"}, {}, {"action": "hang", "pathRegex": "x"}):
            with self.assertRaises(ValueError):
                self.rules(raw)


class Upstream(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    bodies: list[bytes] = []  # noqa: RUF012

    def log_message(self, *_):
        pass

    def do_POST(self):
        self.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
        self.answer(201, self.headers["Host"].encode())

    def do_GET(self):
        if self.path == "/stream":
            self.send_response(200)
            self.send_header("Connection", "close")
            self.end_headers()
            for _ in range(3):
                self.wfile.write(b"x" * 100_000)
            self.close_connection = True
        else:
            self.answer(200, self.path.encode())

    def do_DELETE(self):
        self.send_response(204)
        self.end_headers()

    def answer(self, status, data):
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


class Proxying(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.rules_file = Path(cls.folder.name, "rules.json")
        cls.log = Path(cls.folder.name, "log")
        control = proxy.Control(cls.rules_file, cls.log)
        cls.upstream = HTTPServer(("127.0.0.1", 0), Upstream)
        cls.services = dict(proxy.SERVICES)
        proxy.SERVICES["nova"] = cls.upstream.server_port
        handler = type("NovaHandler", (proxy.Handler,), {"control": control, "service": "nova"})
        cls.front = proxy.Server(("127.0.0.1", 0), handler)
        cls.control = control
        for server in (cls.upstream, cls.front):
            threading.Thread(target=server.serve_forever, daemon=True).start()

    @classmethod
    def tearDownClass(cls):
        for server in (cls.upstream, cls.front):
            server.shutdown()
            server.server_close()
        cls.control.log.close()
        proxy.SERVICES.update(cls.services)
        cls.folder.cleanup()

    def setUp(self):
        self.client = http.client.HTTPConnection("127.0.0.1", self.front.server_port, timeout=5)
        self.addCleanup(self.client.close)
        self.addCleanup(self.rules_file.unlink, missing_ok=True)

    def rules(self, *raw):
        new = self.rules_file.with_suffix(".new")
        new.write_text(json.dumps(raw))
        new.replace(self.rules_file)

    def ask(self, method="GET", path="/thing?a=1", body=None):
        self.client.request(method, path, body)
        answer = self.client.getresponse()
        return answer.status, answer.read()

    def test_passes_on_over_one_connection(self):
        self.assertEqual(self.ask(), (200, b"/thing?a=1"))
        self.assertEqual(self.ask("DELETE"), (204, b""))
        # What services make links from.
        self.assertEqual(self.ask("POST", body=b"{}"), (201, f"127.0.0.1:{self.front.server_port}".encode()))
        self.assertEqual(self.ask(path="/stream"), (200, b"x" * 300_000))

    def test_chunked_requests_arrive_whole(self):
        self.client.request(
            "POST", "/", iter([b"ab", b"cde"]), encode_chunked=True, headers={"Transfer-Encoding": "chunked"}
        )
        self.assertEqual(self.client.getresponse().status, 201)
        self.assertEqual(Upstream.bodies[-1], b"abcde")

    def test_status(self):
        self.rules(
            {"action": "status", "status": 429, "body": {"no": 1}, "headers": {"Retry-After": 3}, "times": 1}
        )
        self.client.request("GET", "/")
        answer = self.client.getresponse()
        self.assertEqual(
            (answer.status, answer.getheader("Retry-After"), answer.read()), (429, "3", b'{"no": 1}')
        )
        self.assertEqual(self.ask()[0], 200)

    def test_delay(self):
        self.rules({"action": "delay", "milliseconds": 300})
        began = time.monotonic()
        self.assertEqual(self.ask()[0], 200)
        self.assertGreaterEqual(time.monotonic() - began, 0.3)

    def test_hang_and_reset_give_no_answer(self):
        self.client.timeout = 0.3
        self.rules({"action": "hang"})
        with self.assertRaises(TimeoutError):
            self.ask()
        self.client.close()
        self.rules({"action": "reset"})
        with self.assertRaises(ConnectionError):
            self.ask()

    def test_a_lost_answer_is_of_a_request_that_was_served(self):
        self.rules({"action": "reset", "forward": True})
        before = len(Upstream.bodies)
        with self.assertRaises(ConnectionError):
            self.ask("POST", body=b"made")
        self.assertEqual(Upstream.bodies[before:], [b"made"])

    def test_rules_that_cannot_be_read_are_no_rules(self):
        self.rules_file.write_text("[{]")
        self.assertEqual(self.ask()[0], 200)


if __name__ == "__main__":
    unittest.main()
