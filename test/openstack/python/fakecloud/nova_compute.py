"""nova-compute with our driver: nova loads drivers from `nova.virt` only."""

import sys

from nova.cmd.compute import main  # patches the standard library first

import fakecloud.virt

sys.modules["nova.virt.fakecloud"] = fakecloud.virt
__all__ = ["main"]
