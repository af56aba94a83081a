"""AWS credentials in a container: variables, what a pod's agent hands out, or a web identity.

Not the profiles of a person's machine, and not a node's own role, which is no function's.
"""

from __future__ import annotations

import contextlib
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlencode

from mlfunc_runtime.errors import StartupError
from mlfunc_runtime.weights.http import Broken, Connections, Refused

if TYPE_CHECKING:
    from collections.abc import Mapping

PLACES = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the pod's service account a role"
_ECS = "http://169.254.170.2"


class Credentials(NamedTuple):
    """`of`: where they are from, for people."""

    key: str
    secret: str
    token: str
    of: str


def region(environ: Mapping[str, str]) -> str:
    """Of the store."""
    return environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or "us-east-1"


def find(environ: Mapping[str, str]) -> Credentials | None:
    """The first there are, in the order of AWS's own libraries. None: there are none.

    Raises:
        StartupError: there should be some, and they cannot be had.

    """
    try:
        return _of_variables(environ) or _of_web_identity(environ) or _of_agent(environ)
    except (OSError, Refused, Broken, ValueError, KeyError) as error:
        told = f"AWS credentials cannot be had: {type(error).__name__}: {error}"
        raise StartupError(told, "see the role of the pod's service account") from error


def _of_variables(environ: Mapping[str, str]) -> Credentials | None:
    key, secret = environ.get("AWS_ACCESS_KEY_ID"), environ.get("AWS_SECRET_ACCESS_KEY")
    if not (key and secret):
        return None
    return Credentials(key, secret, environ.get("AWS_SESSION_TOKEN", ""), "AWS_ACCESS_KEY_ID")


def _of_web_identity(environ: Mapping[str, str]) -> Credentials | None:
    """A token of Kubernetes for the keys of a role (STS, AssumeRoleWithWebIdentity)."""
    path, role = environ.get("AWS_WEB_IDENTITY_TOKEN_FILE"), environ.get("AWS_ROLE_ARN")
    if not (path and role):
        return None
    asked = {
        "Action": "AssumeRoleWithWebIdentity",
        "Version": "2011-06-15",
        "RoleArn": role,
        "RoleSessionName": environ.get("AWS_ROLE_SESSION_NAME") or "mlfunc",
        "WebIdentityToken": Path(path).read_text(encoding="utf-8").strip(),
    }
    with contextlib.closing(Connections()) as connections:
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        answer = connections.post(f"{_sts(environ)}/", kind, urlencode(asked).encode())
        told = answer.read().decode()
    found = dict(re.findall(r"<(AccessKeyId|SecretAccessKey|SessionToken)>([^<]+)<", told))
    return Credentials(found["AccessKeyId"], found["SecretAccessKey"], found["SessionToken"], role)


def _sts(environ: Mapping[str, str]) -> str:
    endpoint = environ.get("AWS_ENDPOINT_URL_STS") or environ.get("AWS_ENDPOINT_URL")
    return (endpoint or f"https://sts.{region(environ)}.amazonaws.com").rstrip("/")


def _of_agent(environ: Mapping[str, str]) -> Credentials | None:
    """EKS's Pod Identity, or ECS."""
    relative = environ.get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")
    url = _ECS + relative if relative else environ.get("AWS_CONTAINER_CREDENTIALS_FULL_URI")
    if not url:
        return None
    path = environ.get("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")
    token = environ.get("AWS_CONTAINER_AUTHORIZATION_TOKEN", "")
    token = Path(path).read_text(encoding="utf-8").strip() if path else token
    with contextlib.closing(Connections()) as connections:
        _, answer = connections.get(url, {"Authorization": token} if token else {})
        found = json.loads(answer.read())
    return Credentials(
        found["AccessKeyId"], found["SecretAccessKey"], found.get("Token", ""), "the pod's agent"
    )
