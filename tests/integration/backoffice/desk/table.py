"""The role table's axes as tests walk them: an address for each page of the desk, and somebody for each role."""

from typing import Final

from deploy.local import staff

ID: Final = "2b9c1c1e-7a55-4b3e-9a35-0f2f6f5d8c11"
# One address for each page.
ADDRESSES: Final = {
    "certificates.search": ("GET", "/?q=x"),
    "certificates.listing": ("GET", "/certificates/waiting"),
    "renewals.timeline": ("GET", f"/renewals/{ID}"),
    "envelopes.listing": ("GET", "/envelopes/despatched"),
    "envelopes.show": ("GET", f"/envelopes/{ID}"),
    "envelopes.recipient": ("GET", f"/envelopes/{ID}/recipient"),
    "envelopes.batches": ("GET", "/envelopes/batches"),
    "envelopes.mark_returned": ("POST", f"/envelopes/{ID}/return"),
    "envelopes.reissue": ("POST", f"/envelopes/{ID}/replacement"),
    "held.overview": ("GET", "/held"),
    "held.listing": ("GET", "/held/desk"),
    "held.show": ("GET", "/held/desk/12345"),
    "held.redrive": ("POST", "/held/desk/12345/redrive"),
    "held.propose": ("POST", "/held/desk/12345/skip"),
    "held.confirm": ("POST", f"/held/desk/12345/proposals/{ID}/confirmation"),
    "held.reject": ("POST", f"/held/desk/12345/proposals/{ID}/rejection"),
    "audit.listing": ("GET", "/audit"),
    "evidence.listing": ("GET", "/evidence"),
    "evidence.show": ("GET", "/evidence/organisation/nobody"),
    "evidence.propose": ("POST", "/evidence/authority/nobody/proposal"),
    "evidence.approve": ("POST", f"/evidence/organisation/nobody/proposals/{ID}/approval"),
    "evidence.reject": ("POST", f"/evidence/authority/nobody/proposals/{ID}/rejection"),
}
# Of each role somebody who works as nothing else.
MEMBERS: Final = {member.roles[0]: member.file for member in staff.MEMBERS if member.roles and not member.revoked}
