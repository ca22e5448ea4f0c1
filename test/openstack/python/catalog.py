"""Services, their users, and endpoints in two regions: the second leads through the fault proxy. catalog.py PASSWORD"""

import sys

import openstack

SERVICES = (
    ("keystone", "identity", 5000, "/v3"),
    ("glance", "image", 9292, ""),
    ("placement", "placement", 8778, ""),
    ("nova", "compute", 8774, "/v2.1"),
    ("neutron", "network", 9696, ""),
    ("blazar", "reservation", 1234, "/v1"),
)
REGIONS = {"RegionOne": 0, "RegionFaulty": 10000}


def main(password: str) -> None:
    identity = openstack.connect(cloud="admin").identity
    roles = {role.name: role for role in identity.roles()}
    service_role = roles.get("service") or identity.create_role(name="service")
    project = identity.find_project("service") or identity.create_project(name="service", domain_id="default")
    for region in REGIONS:
        if identity.find_region(region) is None:
            identity.create_region(id=region)
    services = {service.name: service for service in identity.services()}
    known = {(one.service_id, one.interface, one.region_id) for one in identity.endpoints()}
    for name, kind, port, path in SERVICES:
        service = services.get(name) or identity.create_service(name=name, type=kind)
        if kind != "identity":
            user = identity.create_user(
                name=name, password=password, default_project_id=project.id, domain_id="default"
            )
            for role in (roles["admin"], service_role):
                identity.assign_project_role_to_user(project, user, role)
        for region, shift in REGIONS.items():
            for interface in ("public", "internal", "admin"):
                if (service.id, interface, region) not in known:
                    identity.create_endpoint(
                        service_id=service.id,
                        interface=interface,
                        region_id=region,
                        url=f"http://127.0.0.1:{port + shift}{path}",
                    )


main(sys.argv[1])
