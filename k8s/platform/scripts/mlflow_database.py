"""Brings MLflow's tables in line with the image before the server starts. Safe to run as often as one likes.

Reads MLFLOW_BACKEND_STORE_URI and MLFLOW_AUTH_CONFIG_PATH as the server does; MLFLOW_WORKERS says how many server
processes will start. Ends with a message and status 1 when the database cannot be used.
"""

import configparser
import os
import sys
import time

import sqlalchemy
from sqlalchemy import text
from werkzeug.security import check_password_hash, generate_password_hash

# Longest wait for the database: a StatefulSet pod that moves to another node is back well within this.
WAIT_SECONDS = 180
# Any constant: all migrations of this project take the same lock, so two pods never migrate at once.
LOCK = 0x6D6C666C6F77


def connect_when_ready(uri: str) -> sqlalchemy.Engine:
    engine = sqlalchemy.create_engine(uri, connect_args={"connect_timeout": 3})
    deadline = time.monotonic() + WAIT_SECONDS
    shown = ""
    while True:
        try:
            with engine.connect():
                return engine
        except sqlalchemy.exc.OperationalError as error:
            # The driver's message names host, port and role, never the password.
            message = str(error.orig).strip()
            if message != shown:
                print(f"waiting for the database: {message}", flush=True)
                shown = message
            if time.monotonic() > deadline:
                sys.exit(f"the database did not answer within {WAIT_SECONDS} s: {message}")
            time.sleep(1)


def migrate(uri: str, engine: sqlalchemy.Engine) -> None:
    tables = set(sqlalchemy.inspect(engine).get_table_names())
    # An empty database is left to the server, which makes all tables at once, faster than migrations do.
    if "alembic_version" in tables:
        from mlflow.db import upgrade

        upgrade.callback(uri)
    # Each server process makes missing login tables for itself; several at once would collide.
    if "alembic_version_auth" in tables or int(os.environ.get("MLFLOW_WORKERS", "1")) > 1:
        from mlflow.server.auth.db.cli import upgrade as upgrade_auth

        upgrade_auth.callback(uri, "head")


def update_admin_password(engine: sqlalchemy.Engine) -> None:
    """MLflow sets the administrator's password only when it makes that user; the Secret may have changed since."""
    config = configparser.ConfigParser()
    config.read(os.environ["MLFLOW_AUTH_CONFIG_PATH"])
    name, password = config["mlflow"]["admin_username"], config["mlflow"]["admin_password"]
    if "users" not in sqlalchemy.inspect(engine).get_table_names():
        return
    with engine.begin() as connection:
        known = connection.execute(
            text("SELECT password_hash FROM users WHERE username = :name"), {"name": name}
        ).scalar()
        if known is not None and not check_password_hash(known, password):
            connection.execute(
                text("UPDATE users SET password_hash = :hash WHERE username = :name"),
                {"hash": generate_password_hash(password), "name": name},
            )
            print(f"password of {name} set to the one of the Secret", flush=True)


def main() -> None:
    uri = os.environ["MLFLOW_BACKEND_STORE_URI"]
    engine = connect_when_ready(uri)
    with engine.connect() as lock:
        lock.execute(text("SELECT pg_advisory_lock(:key)"), {"key": LOCK})
        migrate(uri, engine)
        update_admin_password(engine)
    print("database ready", flush=True)


if __name__ == "__main__":
    main()
