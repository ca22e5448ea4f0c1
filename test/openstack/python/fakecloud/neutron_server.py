"""neutron-server without its RPC workers: two more processes that only agents talk to."""

from neutron.cmd.eventlet import server  # noqa: F401, I001  patches the standard library first
from neutron import server as boot
from neutron import service


def main() -> None:
    boot.boot_server(lambda: service.serve_wsgi(service.NeutronApiService).wait())
