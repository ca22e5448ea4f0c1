"""Reads the cloud: its databases for whether anything changed (a millisecond), its APIs for what there is."""

import openstack
import pymysql
from keystoneauth1.exceptions import NotFound
from servers import Cloud

# With the flavor inside, host name and user data.
COMPUTE = {"OpenStack-API-Version": "compute 2.87"}

# Seconds without an answer: the watcher must be able to end.
TIMEOUT = 20

# What tells that a part of the cloud has changed. Neutron counts the changes of every object.
NEUTRON = "select count(*), max(id), sum(revision_number) from neutron.standardattributes where resource_type in ({})"
CHANGES = {
    "servers": (
        "select count(*), sum(crc32(concat_ws('|', uuid, vm_state, task_state, power_state, updated_at, deleted))) from nova.instances",
        "select count(*), sum(crc32(network_info)) from nova.instance_info_caches where deleted = 0",
        "select count(*), max(id) from nova.instance_actions",
    ),
    "ports": (
        NEUTRON.format("'ports', 'subnets'"),
        "select count(*), sum(crc32(concat(port_id, security_group_id))) from neutron.securitygroupportbindings",
        "select count(*), sum(port_security_enabled) from neutron.portsecuritybindings",
    ),
    "floatingips": (NEUTRON.format("'floatingips'"),),
    "security_groups": (NEUTRON.format("'securitygroups', 'securitygrouprules'"),),
}
ACTIONS = (
    "select instance_uuid, max(if(action = 'rebuild', id, 0)), max(if(action = 'reboot', id, 0))"
    " from nova.instance_actions where deleted = 0 group by instance_uuid"
)


class CloudReader:
    def __init__(self, socket: str):
        self.socket = socket
        self.database = None
        self.session = openstack.connect(cloud="admin").session
        self.urls = {}
        self.subnets = {}
        self.images = {}
        self.keys = {}
        self.parts: dict[str, list[dict]] = {}

    def query(self, text: str) -> tuple:
        if self.database is None:
            self.database = pymysql.connect(
                unix_socket=self.socket, user="root", autocommit=True, read_timeout=TIMEOUT
            )
        try:
            with self.database.cursor() as cursor:
                cursor.execute(text)
                return cursor.fetchall()
        except Exception:
            self.database = None
            raise

    def fingerprint(self) -> dict[str, tuple]:
        """Differs in the parts that have changed."""
        return {part: tuple(self.query(text) for text in texts) for part, texts in CHANGES.items()}

    def get(self, service: str, path: str, headers: dict | None = None) -> dict:
        if service not in self.urls:
            self.urls[service] = self.session.get_endpoint(
                service_type=service, region_name="RegionOne", interface="public"
            ).rstrip("/")
        return self.session.get(self.urls[service] + path, headers=headers or {}, timeout=TIMEOUT).json()

    def read(self, changed: set[str]) -> Cloud:
        """The whole cloud, of which only the parts that have changed are asked for."""
        # First: an action that is already recorded is then either still busy or done in what the API says.
        actions = {server: (rebuild, reboot) for server, rebuild, reboot in self.query(ACTIONS)}
        for part in CHANGES:
            if part in self.parts and part not in changed:
                continue
            if part == "servers":
                self.parts[part] = self.get("compute", "/servers/detail?all_tenants=1", COMPUTE)[part]
            else:
                self.parts[part] = self.get("network", f"/v2.0/{part.replace('_', '-')}")[part]
        servers, ports = self.parts["servers"], self.parts["ports"]
        wanted = {ip["subnet_id"] for port in ports for ip in port["fixed_ips"]}
        if not wanted <= self.subnets.keys():
            self.subnets = {one["id"]: one for one in self.get("network", "/v2.0/subnets")["subnets"]}
        if not {(one.get("image") or {}).get("id", "") for one in servers} <= self.images.keys():
            images = self.get("image", "/v2/images?limit=1000")["images"]
            self.images = {"": "", **{one["id"]: one["name"] or "" for one in images}}
        return Cloud(
            servers=servers,
            ports=ports,
            floating_ips=self.parts["floatingips"],
            groups=self.parts["security_groups"],
            subnets=self.subnets,
            images=self.images,
            keys=self.read_keys(servers),
            actions=actions,
        )

    def read_keys(self, servers: list[dict]) -> dict[tuple[str, str], str]:
        """Public keys by user and name, asked once for each server: a key that is made again has the same name."""
        for server in servers:
            name, user = server.get("key_name"), server["user_id"]
            if name is None or server["id"] in self.keys:
                continue
            try:
                answer = self.get("compute", f"/os-keypairs/{name}?user_id={user}", COMPUTE)
            except NotFound:
                # Removed already; nova would still know it.
                continue
            self.keys[server["id"]] = ((user, name), answer["keypair"]["public_key"])
        return dict(self.keys[one["id"]] for one in servers if one["id"] in self.keys)
