"""What the operator of a site like KVM@TACC provides, and a member's application credential.

contents.py PASSWORD CREDENTIAL_FILE
"""

import os
import sys
from pathlib import Path

import openstack

# name, processors, MiB, GiB
FLAVORS = (
    ("m1.tiny", 1, 512, 1),
    ("m1.small", 1, 2048, 20),
    ("m1.medium", 2, 4096, 40),
    ("m1.large", 4, 8192, 40),
    ("m1.xlarge", 8, 16384, 40),
    # The name of a site's accelerator flavor; small, because no accelerator is behind it.
    ("g1.h100.pci.1", 2, 4096, 40),
)
IMAGES = ("CC-Ubuntu24.04", "CC-Ubuntu22.04")
GROUP_PORTS = {
    "allow-ssh": 22,
    "allow-http-80": 80,
    **{f"allow-{port}": port for port in (3000, 5000, 8000, 8080, 8081, 8888, 9001, 9090)},
}
PROJECT = "CHI-test"
COMPUTE_QUOTA = {"instances": 20, "cores": 64, "ram": 131072, "key_pairs": 100, "server_groups": 10}
NETWORK_QUOTA = {
    "networks": 20,
    "subnets": 20,
    "ports": 100,
    "routers": 5,
    "floating_ips": 5,
    "security_groups": 50,
    "security_group_rules": 500,
}


def make_networks(network) -> None:
    public = network.create_network(
        name="public",
        is_router_external=True,
        provider_network_type="flat",
        provider_physical_network="external",
    )
    network.create_subnet(
        name="public-subnet",
        network_id=public.id,
        ip_version=4,
        cidr="10.59.0.0/24",
        gateway_ip="10.59.0.1",
        is_dhcp_enabled=False,
        allocation_pools=[{"start": "10.59.0.10", "end": "10.59.0.250"}],
    )
    shared = network.create_network(
        name="sharednet1",
        is_shared=True,
        provider_network_type="vlan",
        provider_physical_network="physnet1",
        provider_segmentation_id=101,
    )
    subnet = network.create_subnet(
        name="sharednet1-subnet",
        network_id=shared.id,
        ip_version=4,
        cidr="10.56.0.0/22",
        gateway_ip="10.56.0.1",
        dns_nameservers=["8.8.8.8"],
        allocation_pools=[{"start": "10.56.0.20", "end": "10.56.3.250"}],
    )
    router = network.create_router(name="sharednet1-router", external_gateway_info={"network_id": public.id})
    network.add_interface_to_router(router, subnet_id=subnet.id)


def make_images_and_flavors(cloud) -> None:
    for name, vcpus, ram, disk in FLAVORS:
        cloud.compute.create_flavor(name=name, vcpus=vcpus, ram=ram, disk=disk)
    for name in IMAGES:
        cloud.image.create_image(
            name=name,
            data=b"\0" * 65536,
            disk_format="raw",
            container_format="bare",
            visibility="public",
            validate_checksum=False,
        )


def make_project(cloud, password: str) -> None:
    identity = cloud.identity
    project = identity.create_project(name=PROJECT, domain_id="default")
    user = identity.create_user(
        name="tester", password=password, domain_id="default", default_project_id=project.id
    )
    for role in ("member", "reader"):
        identity.assign_project_role_to_user(project, user, identity.find_role(role))
    cloud.set_compute_quotas(project.id, **COMPUTE_QUOTA)
    cloud.network.update_quota(project.id, **NETWORK_QUOTA)


def make_groups(network) -> None:
    for name, port in GROUP_PORTS.items():
        group = network.create_security_group(name=name, description=f"TCP {port}")
        network.create_security_group_rule(
            security_group_id=group.id,
            direction="ingress",
            ethertype="IPv4",
            protocol="tcp",
            port_range_min=port,
            port_range_max=port,
            remote_ip_prefix="0.0.0.0/0",
        )


def main(password: str, credential_file: str) -> None:
    cloud = openstack.connect(cloud="admin")
    make_networks(cloud.network)
    make_images_and_flavors(cloud)
    make_project(cloud, password)
    cloud.compute.create_aggregate(name="freepool")
    cloud.session.post("http://127.0.0.1:1234/v1/os-hosts", json={"name": "kvm-res01"})

    member = openstack.connect(cloud="user")
    make_groups(member.network)
    secret = os.urandom(16).hex()
    credential = member.identity.create_application_credential(
        member.current_user_id, name="iac", secret=secret, unrestricted=False
    )
    Path(credential_file).touch(mode=0o600)
    Path(credential_file).write_text(f"{credential.id} {secret}\n")


main(*sys.argv[1:])
