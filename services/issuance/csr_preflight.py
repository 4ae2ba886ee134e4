"""Preflight of a CSR before the PINs arrive: the same checks as at submission, without storing anything."""

from dataclasses import dataclass, field

from services.issuance import csr_intake
from services.issuance.csr import csr
from services.issuance.csr.csr import CSR
from services.issuance.domain import OrderState
from services.issuance.key_policy import KeyPolicy, key_objection
from services.issuance.refusals import KeyNotAllowed
from shared.errors import Refused
from shared.events.issuance import CSRReceived
from shared.pki.names import certificate_names, server_name
from shared.tx import Begin
from shared.validation.parsing_pool import INLINE, Parser
from shared.vocabulary import ItemId
from shared.web.auth import Caller


@dataclass(frozen=True, kw_only=True)
class CheckCSR:
    """A CSR for an order, or for the server names of a future one."""

    csr: str = field(repr=False)
    item_id: ItemId | None = None
    server_names: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class CheckedCSR:
    """The result of a preflight. `request` is None if it cannot be parsed; `refusal` is the first one at submission."""

    server_names: tuple[str, ...]
    request: CSR | None = None
    refusal: Refused | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """All names that the CSR requests, as written."""
        return () if self.request is None else tuple(dict.fromkeys(self.request.dns_names + self.request.common_names))

    @property
    def certificate_names(self) -> tuple[str, ...]:
        """The names that the certificate will contain."""
        return certificate_names(self.server_names)


def check(command: CheckCSR, caller: Caller, begin: Begin, *, policy: KeyPolicy, parser: Parser = INLINE) -> CheckedCSR:
    """Check a CSR in the order of a submission, without reference number and PINs. Raises OrderNotFound or NameRefused.

    The only lasting effect is the blocking of a private key that was sent along: others know that key now.
    """
    order = None
    if command.item_id is not None:
        with begin() as tx:
            order = csr_intake.own_order(tx.conn, command.item_id, caller)
    wanted = order.server_names if order is not None else tuple(server_name(name) for name in command.server_names)
    request = None
    try:
        request = csr_intake.read(command.csr, caller, begin, parser)
        if order is not None and order.csr_sha256 == request.sha256 and order.state is not OrderState.AWAITING_CSR:
            return CheckedCSR(server_names=wanted, request=request)  # it is the one that was accepted
        if order is not None:
            order.after(CSRReceived)
        csr.check_names(request, wanted)
        with begin() as tx:
            objection = key_objection(tx.conn, request, command.item_id, caller.subscriber_id, policy)
        if objection:
            raise KeyNotAllowed(objection)
    except Refused as refused:
        return CheckedCSR(server_names=wanted, request=request, refusal=refused)
    return CheckedCSR(server_names=wanted, request=request)
