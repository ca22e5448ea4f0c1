"""Ends the MLflow server the gentle way, as preStop hook.

`mlflow server` is process 1 of its container and has no signal handler, so the kernel drops the SIGTERM the kubelet
sends and every restart would take the whole grace period. Its child, uvicorn, does listen: it finishes open requests
and exits, and process 1 follows.
"""

import os
import signal
import time

# Time for the Service to stop sending new requests here.
time.sleep(2)
for name in os.listdir("/proc"):
    if name.isdigit():
        try:
            with open(f"/proc/{name}/stat") as stat:
                parent = stat.read().rpartition(")")[2].split()[1]
            if parent == "1" and int(name) != os.getpid():
                os.kill(int(name), signal.SIGTERM)
        except OSError:
            continue  # ended meanwhile
