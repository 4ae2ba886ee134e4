"""Extract of identity's own facts: signature evidence by renewal."""

from typing import Final

from shared.security.signed_extract import Table

TABLES: Final = (
    Table(
        name="evidence",
        query="""SELECT id, renewal_id, document_sha256, verified_at,
                        encode(sha256(convert_to(attestation, 'UTF8')), 'hex') AS attestation_sha256
                 FROM evidence ORDER BY id""",
    ),
)
