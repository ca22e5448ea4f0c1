"""Stands in for the L3 agent's status reports: a floating IP is ACTIVE while
it is associated and DOWN when not; router ports go ACTIVE."""

from neutron_lib import constants as const
from neutron_lib import context as n_context
from neutron_lib.callbacks import events, registry, resources
from neutron_lib.plugins import constants as pc
from neutron_lib.plugins import directory
from neutron_lib.services import base
from oslo_log import log as logging

LOG = logging.getLogger(__name__)


@registry.has_registry_receivers
class FakeL3StatusPlugin(base.ServicePluginBase):
    supported_extension_aliases = ()

    @classmethod
    def get_plugin_type(cls):
        return "FAKE_L3_STATUS"

    def get_plugin_description(self):
        return "Floating IP and router port status without an L3 agent"

    @registry.receives(resources.FLOATING_IP, [events.AFTER_CREATE, events.AFTER_UPDATE])
    def _fip(self, resource, event, trigger, payload):
        fip = payload.latest_state
        status = (
            const.FLOATINGIP_STATUS_ACTIVE
            if fip.get("fixed_port_id") or fip.get("port_id")
            else const.FLOATINGIP_STATUS_DOWN
        )
        try:
            # In the transaction that changed it: another one would wait for that one's end.
            directory.get_plugin(pc.L3).update_floatingip_status(
                payload.context.elevated(), payload.resource_id, status
            )
            fip["status"] = status
        except Exception:
            LOG.exception("floating IP status")

    @registry.receives(resources.PORT, [events.AFTER_CREATE, events.AFTER_UPDATE])
    def _port(self, resource, event, trigger, payload):
        port = payload.latest_state
        if (
            port["device_owner"] in (const.DEVICE_OWNER_ROUTER_INTF, const.DEVICE_OWNER_ROUTER_GW)
            and port["status"] == const.PORT_STATUS_DOWN
        ):
            try:
                directory.get_plugin().update_port_status(
                    n_context.get_admin_context(), port["id"], const.PORT_STATUS_ACTIVE
                )
            except Exception:
                LOG.exception("router port status")
