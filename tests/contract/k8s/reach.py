"""Reachability by NetworkPolicies, computed as Kubernetes does: a selected pod is closed but for what is opened."""

import ipaddress
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Final

from tests.contract.k8s.rendering import Object

NAMESPACE: Final = "ecert"
Ports = Set[tuple[int, str]]


@dataclass(frozen=True, kw_only=True)
class Peer:
    """A pod of any namespace, or with an address and no namespace somebody outside."""

    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    namespace: str | None = NAMESPACE
    address: str = "10.200.0.1"


@dataclass(frozen=True, order=True)
class Flow:
    """One may open a connection to the other at this port."""

    source: str
    target: str
    port: int
    protocol: str = "TCP"


def egress(policies: Sequence[Object], peers: Sequence[Peer], ports: Ports) -> set[Flow]:
    """Return what pods of our namespace may open, as far as their own side goes."""
    return {Flow(mine, other, *port) for mine, other, port in _open(policies, peers, ports, "Egress", "to")}


def ingress(policies: Sequence[Object], peers: Sequence[Peer], ports: Ports) -> set[Flow]:
    """Return what may be opened to pods of our namespace, as far as their own side goes."""
    return {Flow(other, mine, *port) for mine, other, port in _open(policies, peers, ports, "Ingress", "from")}


def _open(
    policies: Sequence[Object], peers: Sequence[Peer], ports: Ports, way: str, key: str
) -> Iterator[tuple[str, str, tuple[int, str]]]:
    for mine in peers:
        if mine.namespace != NAMESPACE:
            continue
        specs = [each["spec"] for each in policies if selects(each["spec"]["podSelector"], mine.labels)]
        bound = [spec for spec in specs if way in spec["policyTypes"]]
        # Nobody closes this side: everything is open.
        rules = [rule for spec in bound for rule in spec.get(way.lower(), ())] if bound else [{}]
        for rule in rules:
            named = rule.get("ports")
            let = ports if named is None else {(each["port"], each.get("protocol", "TCP")) for each in named}
            for other in peers:
                if key not in rule or any(_is(peer, other) for peer in rule[key]):
                    yield from ((mine.name, other.name, port) for port in let)


def _is(peer: Object, other: Peer) -> bool:
    if "ipBlock" in peer:
        address, block = ipaddress.ip_address(other.address), peer["ipBlock"]
        excepted = any(address in ipaddress.ip_network(each) for each in block.get("except", ()))
        return address in ipaddress.ip_network(block["cidr"]) and not excepted
    if other.namespace is None:
        return False
    spaces = peer.get("namespaceSelector")
    if spaces is None:
        if other.namespace != NAMESPACE:
            return False
    elif not selects(spaces, {"kubernetes.io/metadata.name": other.namespace}):
        return False
    return selects(peer.get("podSelector", {}), other.labels)


def selects(selector: Object, labels: Mapping[str, str]) -> bool:
    """Return a label selector, as the API server reads it."""
    if not set(selector.get("matchLabels", {}).items()) <= set(labels.items()):
        return False
    for each in selector.get("matchExpressions", ()):
        value = labels.get(each["key"])
        held = {
            "In": value in each.get("values", ()),
            "NotIn": value not in each.get("values", ()),
            "Exists": value is not None,
            "DoesNotExist": value is None,
        }
        if not held[each["operator"]]:
            return False
    return True
