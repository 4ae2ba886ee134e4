"""Index of pkilint's validators by the class of node that they check: each finds what it finds without the index.

pkilint asks every validator about every node: some 7,000 questions per certificate, most of them about a node of
another class. The index offers each node to the validators of its class alone.
"""

from typing import Any

from pkilint.document import NodeVisitor, PDUNode
from pkilint.validation import Validator, ValidatorContainer


def indexed(validator: Validator) -> Validator:
    """Return a validator with the same findings; containers are indexed, also those inside of them."""
    return _Index(validator) if type(validator).validate is ValidatorContainer.validate else validator


class _Index(Validator):  # type: ignore[misc]  # pkilint has no types
    """Container of validators, indexed."""

    def __init__(self, container: Any) -> None:
        super().__init__(validations=container.validations)
        self._container = container
        self._validators = [indexed(each) for each in container.validators]
        self._by_class: dict[type, list[Validator]] = {}

    @property
    def name(self) -> str:
        """The container's name."""
        return str(self._container.name)

    def match(self, node: PDUNode) -> bool:
        """Return whether the container is for this node."""
        return bool(self._container.match(node))

    def validate(self, node: PDUNode) -> list[Any]:
        """Return the results of all validators on the node, and then on its children, which they may add."""
        results: list[Any] = []
        self._validate(node, results)
        return results

    def _validate(self, node: PDUNode, results: list[Any]) -> None:
        for validator in self._for_class(type(node.pdu)):
            if validator.match(node):
                found = validator.validate_wrapper(node)
                results += found if isinstance(found, list) else [found]
        for child in node.children.values():
            self._validate(child, results)

    def _for_class(self, kind: type) -> list[Validator]:
        if kind not in self._by_class:
            self._by_class[kind] = [each for each in self._validators if _may_match(each, kind)]
        return self._by_class[kind]


def _may_match(validator: Validator, kind: type) -> bool:
    """Return False only if pkilint's `match` is certain to be false for the class, and the validator has no other rule.

    pkilint has no public name for the class. If it ever has another one, nothing is skipped, and lint is slower.
    """
    plain = validator._container if isinstance(validator, _Index) else validator
    wanted = getattr(plain, "_pdu_class", None)
    return wanted is None or type(plain).match is not NodeVisitor.match or issubclass(kind, wanted)
