"""application's settings: those that every service has."""

from shared.settings import ServiceSettings, read_env, read_service, seal


def read_settings() -> ServiceSettings:
    """Read the environment. Raises SettingsError that names every variable at fault."""
    env = read_env()
    settings = read_service(env, "application")
    seal(env)
    return settings
