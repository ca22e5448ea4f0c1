"""MLflow's basic auth, without hashing the same password again and again.

MLflow checks a password two to four times in one request, and each check is a scrypt of 0.1 s of processor time:
logging a metric would cost a fifth of a second of it. Here a password that was right once is recognized for as long as
the user's stored hash is the same one, so a changed password or a removed user counts from the next request on. Wrong
passwords stay as slow as they are.

Named in auth.ini as `authorization_function`, which is MLflow's way to plug in a login.
"""

import hashlib
import hmac
import os
from threading import Lock

from flask import Response, request
from mlflow.server.auth import make_basic_auth_response, store
from mlflow.server.auth.db.models import SqlUser
from werkzeug.datastructures import Authorization
from werkzeug.security import check_password_hash

# More logins than a class has people; the oldest goes first.
LIMIT = 1024

# Passwords are kept as keyed digests: without this key, which never leaves the process, they say nothing.
_key = os.urandom(32)
_right: dict[tuple[str, str], bytes] = {}
_lock = Lock()


def authenticate() -> Authorization | Response:
    login = request.authorization
    if login is None or login.username is None or login.password is None:
        return make_basic_auth_response()
    with store.ManagedSessionMaker() as session:
        stored = session.query(SqlUser.password_hash).filter(SqlUser.username == login.username).scalar()
    if stored is None or not _is_right(login.username, login.password, stored):
        return make_basic_auth_response()
    return login


def _is_right(username: str, password: str, stored: str) -> bool:
    digest = hmac.digest(_key, password.encode(), hashlib.sha256)
    known = _right.get((username, stored))
    if known is not None and hmac.compare_digest(known, digest):
        return True
    if not check_password_hash(stored, password):
        return False
    with _lock:
        while len(_right) >= LIMIT:
            del _right[next(iter(_right))]
        _right[(username, stored)] = digest
    return True
