#!/bin/sh
# Makes a user of MLflow. The work is in Python because the image has no other HTTP client.
set -eu
exec python3 -I -B /scripts/mlflow_user.py
