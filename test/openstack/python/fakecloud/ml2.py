"""ML2 mechanism driver that binds every port on any host, at once and without
an agent: stands in for the L2 agent (which would report the port ACTIVE)."""

from neutron_lib import constants as const
from neutron_lib.api.definitions import portbindings as pb
from neutron_lib.plugins.ml2 import api


class FakeBindMechanismDriver(api.MechanismDriver):
    def initialize(self):
        pass

    @property
    def connectivity(self):
        return pb.CONNECTIVITY_L2

    def bind_port(self, context):
        seg = context.segments_to_bind[0]
        context.set_binding(
            seg[api.ID],
            pb.VIF_TYPE_OVS,
            {
                pb.CAP_PORT_FILTER: True,
                pb.OVS_HYBRID_PLUG: False,
                pb.VIF_DETAILS_BRIDGE_NAME: "br-int",
                pb.VIF_DETAILS_CONNECTIVITY: pb.CONNECTIVITY_L2,
            },
            status=const.PORT_STATUS_ACTIVE,
        )

    def update_port_postcommit(self, context):
        # nova let go of a pre-made port: the agent would report it down
        if (
            context.original_host
            and not context.host
            and context.current["status"] == const.PORT_STATUS_ACTIVE
        ):
            context._plugin.update_port_status(
                context._plugin_context, context.current["id"], const.PORT_STATUS_DOWN
            )
