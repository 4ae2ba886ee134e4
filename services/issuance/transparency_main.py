"""Composition of certificate transparency: the logs of the settings, and the operator's commands that use them."""

from typing import Final

from services.issuance import adoption, log_watch
from services.issuance.ca.authority import IssuingCA
from services.issuance.ct import log_list
from services.issuance.ct.log_client import PAGE_TIMEOUT_SECONDS, LogClient
from services.issuance.ct.log_list import LogList
from services.issuance.ct.submission import Logs
from services.issuance.log_watch import Watch
from services.issuance.settings import Settings, read_settings
from shared.settings import SettingsError


def make_logs(settings: Settings) -> Logs:
    """Return the logs to which precertificates are submitted. Raises SettingsError."""
    return Logs(_log_list(settings), LogClient(settings.ct_ca_file))


def read_log_list() -> LogList:
    """Return the log list of the settings. Raises SettingsError."""
    return _log_list(read_settings())


def _log_list(settings: Settings) -> LogList:
    try:
        return log_list.load(settings.ct_log_list_file, plain_http=settings.service.environment == "local")
    except log_list.LogListRefused as refused:
        raise SettingsError(f"CT_LOG_LIST_FILE: {refused}") from refused


def _watch() -> Watch:
    settings = read_settings()
    client = LogClient(settings.ct_ca_file, read_timeout=PAGE_TIMEOUT_SECONDS)
    return Watch(log_list=_log_list(settings), client=client, ca=_ca())


def _ca() -> IssuingCA:
    settings = read_settings()
    return IssuingCA.load(settings.ca_certificate_file, settings.ca_chain_file)


COMMANDS: Final = {"adopt": adoption.command(_ca), "watch-ct": log_watch.command(_watch)}
