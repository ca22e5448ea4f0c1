"""blazar's API as a WSGI application."""

import os
import sys

import blazar.cmd.api  # noqa: F401  registers its options
from blazar.api import app
from blazar.utils import service
from oslo_config import cfg

sys.argv = ["blazar-api", "--config-file", os.environ["BLAZAR_CONFIG"], "--log-file", "blazar-api.log"]
cfg.CONF(sys.argv[1:], project="blazar", prog="blazar-api")
service.prepare_service(sys.argv)
application = app.VersionSelectorApplication()
