"""Secrets and addresses: what comes from the environment alone."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Mapping
from typing import Literal, cast

import attrs

from dorami_core.base.settings import SettingsError

AppEnv = Literal["development", "test", "production"]
KeepSecret = Callable[[str, Callable[[], str]], str]
"""`keep(name, make)`: the secret of that name, made once and kept where only we can read it."""

SECRETS: Mapping[str, Callable[[], str]] = {
    "JWT_SECRET": lambda: secrets.token_urlsafe(48),
    "PROFILE_ENCRYPTION_KEY": lambda: secrets.token_hex(32),
}


@attrs.frozen(kw_only=True)
class Environment:
    """`database_url` and `redis_url` are None where the embedded servers are to run."""

    app_env: AppEnv
    database_url: str | None
    redis_url: str | None
    jwt_secret: str = attrs.field(repr=False)
    profile_encryption_key: str = attrs.field(repr=False)
    admin_emails: tuple[str, ...]
    csrf_enabled: bool
    cors_origins: tuple[str, ...]


def read_environment(environ: Mapping[str, str], keep: KeepSecret) -> Environment:
    """SettingsError names the variable that is missing or wrong, all of the missing ones at once."""
    app_env = environ.get("APP_ENV") or "development"
    if app_env not in ("development", "test", "production"):
        raise SettingsError(f"environment: APP_ENV must be development, test or production, not {app_env!r}")
    missing = [name for name in SECRETS if not environ.get(name)]
    if missing and app_env == "production":
        raise SettingsError(f"environment: with APP_ENV=production these must be set: {', '.join(missing)}")
    found = {name: environ.get(name) or keep(name.lower(), make) for name, make in SECRETS.items()}
    if not re.fullmatch(r"[0-9a-fA-F]{64}", found["PROFILE_ENCRYPTION_KEY"]):
        raise SettingsError("environment: PROFILE_ENCRYPTION_KEY must be 64 hex digits")
    if len(found["JWT_SECRET"]) < 32:
        raise SettingsError("environment: JWT_SECRET must have 32 characters or more")
    csrf = environ.get("CSRF_ENABLED", "true").lower()
    if csrf not in ("true", "false"):
        raise SettingsError(f"environment: CSRF_ENABLED must be true or false, not {csrf!r}")
    if csrf == "false" and app_env == "production":
        raise SettingsError("environment: CSRF_ENABLED=false is not possible with APP_ENV=production")
    return Environment(
        app_env=cast("AppEnv", app_env),
        database_url=environ.get("DATABASE_URL") or None,
        redis_url=_redis_url(environ),
        jwt_secret=found["JWT_SECRET"],
        profile_encryption_key=found["PROFILE_ENCRYPTION_KEY"],
        admin_emails=_several(environ.get("ADMIN_EMAILS", "")),
        csrf_enabled=csrf == "true",
        # As browsers write them: lower-case, no slash at the end (Fetch, 3.2).
        cors_origins=tuple(origin.lower().rstrip("/") for origin in _several(environ.get("CORS_ORIGINS", ""))),
    )


def read_shared_environment(
    role: str, environ: Mapping[str, str], find_secret: Callable[[str], str | None]
) -> Environment:
    """For one process of several: it runs no servers and makes no secrets, since the others could not know them.
    `find_secret(name)` looks where another process may have kept one. SettingsError names all that is missing."""
    missing = [] if environ.get("DATABASE_URL") else ["DATABASE_URL"]
    if _redis_url(environ) is None:
        missing.append("REDIS_URL")
    secrets_found = {name: environ.get(name) or find_secret(name.lower()) for name in SECRETS}
    missing += [name for name, value in secrets_found.items() if not value]
    if missing:
        raise SettingsError(
            f"environment: dorami {role} shares its work with other processes and needs {', '.join(missing)}; "
            "secrets may also lie in the data directory of a dorami up (--data)"
        )
    return read_environment(environ, lambda name, _: secrets_found[name.upper()] or "")


def _redis_url(environ: Mapping[str, str]) -> str | None:
    if environ.get("REDIS_URL"):
        return environ["REDIS_URL"]
    host, port = environ.get("REDIS_HOST"), environ.get("REDIS_PORT") or "6379"
    if not port.isdigit():
        raise SettingsError(f"environment: REDIS_PORT must be a port, not {port!r}")
    return f"redis://{host}:{port}/0" if host else None


def _several(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())
