"""Composition root of the `validate` process, which has the perspectives look at domains.

It is a process of its own because its calls wait for strangers' name servers. It has the client key for the
perspectives, and no CA key; the processes with the CA's key reach no perspective.
"""

from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from typing import Final

from services.issuance import domain_checks
from services.issuance.dcv.perspectives import MAX_REQUESTS, TOTAL_TIMEOUT, Credentials, Perspectives
from services.issuance.dcv.quorum import PerspectiveSet, SetRefused
from services.issuance.domain_checks import LEASE, CheckDeps
from services.issuance.domain_evidence import DomainRules
from services.issuance.settings import Settings, read_settings
from shared.db import Pool
from shared.runtime.task_loop import Task, require_lease
from shared.settings import SettingsError
from shared.tx import Clock, utc_now

# As many as one perspective answers at once.
THREADS: Final = MAX_REQUESTS


def domain_rules(settings: Settings) -> DomainRules:
    """Return the rules with the real set of perspectives. Raises SettingsError."""
    return DomainRules(
        issuer_domains=tuple(name.strip().lower() for name in settings.caa_issuer_domains),
        cname_suffix=settings.validation_cname_suffix,
        quorum=_perspectives(settings).corroborated,
    )


def tasks(pool: Pool) -> Sequence[tuple[str, Task]]:
    """Return the tasks of the process. Raises SettingsError as `make_deps` does."""
    require_lease("check-domain", LEASE, calls=timedelta(seconds=TOTAL_TIMEOUT))
    return [("check-domain", partial(domain_checks.check_next, pool, make_deps()))]


def make_deps(*, clock: Clock = utc_now) -> CheckDeps:
    """Return the perspectives and the rules. Raises SettingsError if the rules of today do not allow the set."""
    settings = read_settings()
    found = _perspectives(settings)
    try:
        found.check(clock())
    except SetRefused as refused:
        raise SettingsError(f"PERSPECTIVES_FILE: {refused}") from refused
    return CheckDeps(perspectives=Perspectives(found, _credentials(settings)), rules=domain_rules(settings))


def _perspectives(settings: Settings) -> PerspectiveSet:
    try:
        return PerspectiveSet.parse(settings.perspectives_file.read_bytes())
    except (OSError, SetRefused) as error:
        raise SettingsError(f"PERSPECTIVES_FILE: {error}") from error


def _credentials(settings: Settings) -> Credentials:
    ca_file, certificate = settings.perspectives_ca_file, settings.perspectives_certificate_file
    key = settings.perspectives_key_file
    if ca_file is None or certificate is None or key is None:
        raise SettingsError(
            "PERSPECTIVES_CA_FILE, PERSPECTIVES_CERTIFICATE_FILE, PERSPECTIVES_KEY_FILE: `validate` needs all three"
        )
    return Credentials(ca_file=ca_file, certificate=certificate, key=key)
