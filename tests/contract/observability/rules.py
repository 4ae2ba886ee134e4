"""The alerting rules and dashboards as the tests read them."""

import json
from pathlib import Path
from typing import Any, Final

import yaml

ROOT: Final = Path(__file__).parents[3]
OBSERVABILITY: Final = ROOT / "deploy" / "k8s" / "base" / "observability"


def groups() -> list[dict[str, Any]]:
    """Return the rule groups as Prometheus reads them."""
    found: list[dict[str, Any]] = yaml.safe_load((OBSERVABILITY / "alerts.yaml").read_text())["spec"]["groups"]
    return found


def alerts() -> list[dict[str, Any]]:
    """Return every alerting rule."""
    return [rule for group in groups() for rule in group["rules"] if "alert" in rule]


def expressions() -> list[str]:
    """Return every PromQL expression of the rules and the dashboards."""
    found = [rule["expr"] for group in groups() for rule in group["rules"]]
    for path in (OBSERVABILITY / "dashboards").glob("*.json"):
        found += [target["expr"] for panel in json.loads(path.read_text())["panels"] for target in panel["targets"]]
    return found
