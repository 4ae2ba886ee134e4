"""The terms are what they were when somebody signed for them."""

import json

import pytest
import rfc8785

from services.application import terms
from services.application.refusals import TermsNotFound
from shared.vocabulary import Language

# Signed applications name these digests: a published version stays as it is, and what changes gets a new one.
PUBLISHED = {"2026-11-25": "bcfed41bfe2c6eb13e65090c2d46a330d18418519a5f9f86bbbd37a203aa616c"}


def test_published_version_never_changes() -> None:
    assert {version: terms.find(version).sha256 for version in terms.versions()} == PUBLISHED


@pytest.mark.parametrize("version", sorted(PUBLISHED))
def test_version_is_canonical_and_says_the_same_clauses_in_every_language(version: str) -> None:
    found = terms.find(version)
    content = json.loads(found.body)
    assert rfc8785.dumps(content) == found.body
    assert content["ruling_language"] == "en"
    assert set(content["texts"]) == set(Language)
    clauses = {language: text.count("\n\n") for language, text in content["texts"].items()}
    assert len(set(clauses.values())) == 1


@pytest.mark.parametrize("version", ["", "..", "2026-11-25/..", "../services", "2025"])
def test_unpublished_version_is_not_found(version: str) -> None:
    with pytest.raises(TermsNotFound):
        terms.find(version)
