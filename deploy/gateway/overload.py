"""Overload manager of Envoy: what the gateway drops as its memory runs out."""

from typing import Any, Final

from deploy.gateway.rules import MAX_CONNECTIONS, MAX_HEAP_BYTES

_TYPE: Final = "type.googleapis.com/envoy.extensions"


def manager() -> dict[str, Any]:
    """Return the configuration: resets the streams that hold most, then refuses requests, then connections."""
    connections = "resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig"
    heap = "resource_monitors.fixed_heap.v3.FixedHeapConfig"

    def at(share: float) -> list[dict[str, Any]]:
        return [{"name": "envoy.resource_monitors.fixed_heap", "threshold": {"value": share}}]

    scaled = {"scaling_threshold": 0.5, "saturation_threshold": 1.0}
    return {
        "refresh_interval": "0.02s",
        # Only streams with a buffered body of 64 KiB or more are counted.
        "buffer_factory_config": {"minimum_account_to_track_power_of_two": 16},
        "resource_monitors": [
            {
                "name": "envoy.resource_monitors.global_downstream_max_connections",
                "typed_config": {
                    "@type": f"{_TYPE}.{connections}",
                    "max_active_downstream_connections": MAX_CONNECTIONS,
                },
            },
            {
                "name": "envoy.resource_monitors.fixed_heap",
                "typed_config": {"@type": f"{_TYPE}.{heap}", "max_heap_size_bytes": MAX_HEAP_BYTES},
            },
        ],
        "actions": [
            {
                "name": "envoy.overload_actions.reset_high_memory_stream",
                "triggers": [{"name": "envoy.resource_monitors.fixed_heap", "scaled": scaled}],
            },
            {"name": "envoy.overload_actions.shrink_heap", "triggers": at(0.6)},
            {"name": "envoy.overload_actions.stop_accepting_requests", "triggers": at(0.75)},
            {"name": "envoy.overload_actions.stop_accepting_connections", "triggers": at(0.95)},
        ],
    }
