"""Region RegionFaulty of the test cloud: passes requests on to the services, and spoils those that a rule names.

proxy.py RULES_FILE LOG_FILE: rules as in fault_rules.py, read when the file changes; one line of JSON per request in the log.
Listens on 127.0.0.1, on each service's port plus 10000. Services make their links from the Host header, so these lead here too.
"""

import contextlib
import http.client
import json
import select
import signal
import socket
import struct
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from fault_rules import Rules

SERVICES = {
    "keystone": 5000,
    "nova": 8774,
    "placement": 8778,
    "glance": 9292,
    "neutron": 9696,
    "blazar": 1234,
}
SHIFT = 10000
HOP = {
    "connection",
    "keep-alive",
    "transfer-encoding",
    "te",
    "trailer",
    "upgrade",
    "proxy-connection",
    "expect",
}
PIECE = 65536
# Longer than any client waits.
LONGEST_HANG_MS = 600_000


class Control:
    """The rules in force and the log, shared by all requests."""

    def __init__(self, rules_file: Path, log_file: Path):
        self.rules_file, self.log = rules_file, log_file.open("a", buffering=1)
        self.lock = threading.Lock()
        self.seen: tuple[int, int] | None = None
        self.rules = Rules([], time.time, 0)

    def find(self, service: str, method: str, path: str) -> tuple[int, dict[str, Any]] | None:
        with self.lock:
            self.refresh()
            return self.rules.find(service, method, path)

    def refresh(self) -> None:
        try:
            stat = self.rules_file.stat()
        except FileNotFoundError:
            self.seen, self.rules = None, Rules([], time.time, 0)
            return
        if self.seen == (stat.st_ino, stat.st_mtime_ns):
            return
        self.seen = (stat.st_ino, stat.st_mtime_ns)
        try:
            self.rules = Rules(json.loads(self.rules_file.read_text()), time.time, stat.st_mtime)
        except (ValueError, TypeError, AttributeError) as problem:
            print(f"{self.rules_file}: {problem}", flush=True)

    def note(self, **what: Any) -> None:
        with self.lock:
            self.log.write(json.dumps(what) + "\n")


class Lost(Exception):
    """The connection ends here."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Head and body are written apart; together with delayed acknowledgements that would cost 40 ms.
    disable_nagle_algorithm = True
    control: Control
    service: str

    def log_message(self, *_: Any) -> None:
        pass

    def serve(self) -> None:
        began = time.monotonic()
        status, fault = 0, None
        try:
            body = self.read_body()
            found = self.control.find(self.service, self.command, self.path)
            if found is None:
                status = self.pass_on(body)
            else:
                fault, rule = found
                if rule.get("forward") and rule["action"] != "delay":
                    self.ask(body)[1].read()
                status = self.spoil(rule, body)
        except (Lost, ConnectionError, TimeoutError):
            self.close_connection = True
        finally:
            took = round((time.monotonic() - began) * 1000)
            self.control.note(
                at=round(time.time(), 3),
                service=self.service,
                method=self.command,
                path=self.path,
                status=status,
                ms=took,
                rule=fault,
            )

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = serve

    def read_body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        pieces = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return b"".join(pieces)

    def ask(self, body: bytes) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        connection = http.client.HTTPConnection("127.0.0.1", SERVICES[self.service], timeout=600)
        connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            if name.lower() not in HOP and name.lower() != "content-length":
                connection.putheader(name, value)
        if body or self.command in ("POST", "PUT", "PATCH"):
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body or None)
        return connection, connection.getresponse()

    def pass_on(self, body: bytes) -> int:
        connection, answer = self.ask(body)
        with contextlib.closing(connection):
            self.send_response_only(answer.status, answer.reason)
            for name, value in answer.getheaders():
                if name.lower() not in HOP:
                    self.send_header(name, value)
            bodiless = self.command == "HEAD" or answer.status in (204, 304)
            chunked = not bodiless and answer.getheader("Content-Length") is None
            if chunked:
                self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            while not bodiless and (piece := answer.read1(PIECE)):
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece) if chunked else piece)
            if chunked:
                self.wfile.write(b"0\r\n\r\n")
        return answer.status

    def spoil(self, rule: dict[str, Any], body: bytes) -> int:
        action = rule["action"]
        if action == "delay":
            self.wait(rule.get("milliseconds", 1000))
            return self.pass_on(body)
        if action == "hang":
            self.wait(rule.get("milliseconds", LONGEST_HANG_MS))
            raise Lost
        if action == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
            raise Lost
        text = rule.get(
            "body", {"error": {"code": rule.get("status", 503), "message": "a fault of the test"}}
        )
        data = (text if isinstance(text, str) else json.dumps(text)).encode()
        self.send_response_only(rule.get("status", 503))
        headers = {"Content-Type": "application/json", **rule.get("headers", {})}
        for name, value in headers.items():
            self.send_header(name, str(value))
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)
        return rule.get("status", 503)

    def wait(self, milliseconds: float) -> None:
        """Ends early when the client has gone."""
        end = time.monotonic() + milliseconds / 1000
        while (left := end - time.monotonic()) > 0:
            ready, _, _ = select.select([self.connection], [], [], left)
            if ready:
                if not self.connection.recv(1, socket.MSG_PEEK):
                    raise Lost
                # More requests on the same connection: these wait, too.
                time.sleep(min(left, 0.1))


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


def main(rules_file: str, log_file: str) -> None:
    control = Control(Path(rules_file), Path(log_file))
    for service, port in SERVICES.items():
        handler = type(f"{service}Handler", (Handler,), {"control": control, "service": service})
        server = Server(("127.0.0.1", port + SHIFT), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
    print("passing on", flush=True)
    signal.sigwait({signal.SIGTERM, signal.SIGINT})


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    main(*sys.argv[1:])
