"""Revocation check of an accepted chain, with the CRLs that clear it."""

from cryptography import x509

from services.identity import certificates, crl_store
from services.identity.certificates import Chain, Trust
from services.identity.refusals import CertificateFault, CertificateRefused
from shared.pki import crls
from shared.pki.crls import CertificateListed, RevocationUnknown, StoredCRL, issuer_id
from shared.tx import Tx


def clear(tx: Tx, chains: tuple[Chain, ...], *, trust: Trust) -> tuple[Chain, tuple[StoredCRL, ...]]:
    """Return the first chain without a revoked certificate, and the CRLs that prove it.

    Raises RevocationUnknown if a chain may still be valid, else CertificateRefused. A revoked e-Cert is revoked in
    every chain: its issuer is one name and one key, with one set of lists.
    """
    unknown = None
    for chain in chains:
        try:
            return chain, _clear(tx, chain, trust)
        except RevocationUnknown as error:
            unknown = error
        except CertificateListed as error:
            listed = error
    if unknown is not None:
        raise unknown
    fault = CertificateFault.SUSPENDED if listed.suspended else CertificateFault.REVOKED
    raise CertificateRefused(fault) from listed


def is_listed(tx: Tx, certificate: x509.Certificate, *, trust: Trust) -> bool:
    """Return whether a registered e-Cert, expired or not, is revoked or suspended. Raises RevocationUnknown."""
    links = [(certificate, issuer) for issuer in trust.issuers if certificates.is_issued_by(certificate, issuer)]
    if not links:
        raise RevocationUnknown
    stored = crl_store.find_crls(tx.conn, [issuer_id(issuer) for _, issuer in links])
    try:
        crls.check(links, stored, tx.now, trust.crl_ages)
    except CertificateListed:
        return True
    return False


def _clear(tx: Tx, chain: Chain, trust: Trust) -> tuple[StoredCRL, ...]:
    stored = crl_store.find_crls(tx.conn, [issuer_id(issuer) for issuer in chain.issuers])
    return crls.check(chain.links, stored, tx.now, trust.crl_ages)
