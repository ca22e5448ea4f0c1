"""Runs the `main` of a module as Debian's own three-line programs do: launch.py MODULE ARGUMENT..."""

import importlib
import sys

module = sys.argv[1]
sys.argv = [module, *sys.argv[2:]]
sys.exit(importlib.import_module(module).main())
