"""Whether an accepted chain still stands: the CRLs that clear it."""

from services.identity import crl_store
from services.identity.certificates import Chain
from services.identity.domain import CertificateFault, CertificateRefused
from shared.pki import crls
from shared.pki.certificates import sha256
from shared.pki.crls import CertificateListed, StoredCRL
from shared.tx import Tx


def clear(chain: Chain, tx: Tx) -> tuple[StoredCRL, ...]:
    """What says that nothing of the chain is revoked. Raises CertificateRefused, or RevocationUnknown."""
    stored = crl_store.find_crls(tx.conn, [sha256(issuer) for issuer in chain.issuers])
    try:
        return crls.check(chain.links, stored, tx.now)
    except CertificateListed as listed:
        fault = CertificateFault.SUSPENDED if listed.suspended else CertificateFault.REVOKED
        raise CertificateRefused(fault) from listed
