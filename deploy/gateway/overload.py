"""Overload manager of Envoy: what the gateway drops as its memory runs out."""

from typing import Any, Final

from deploy.gateway.rules import CONTAINER_MEMORY_MIB, MAX_CONNECTIONS

_TYPE: Final = "type.googleapis.com/envoy.extensions"


def manager() -> dict[str, Any]:
    """Return the configuration: resets the streams that hold most, then refuses requests, then connections.

    Every threshold is a share of the container's memory. Resets go by eight classes of a stream's buffer, the largest
    first: 128 KiB and more from a third of the memory on, 32 KiB and more from half of it.
    """
    connections = "resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig"
    heap = "resource_monitors.fixed_heap.v3.FixedHeapConfig"

    def at(share: float) -> list[dict[str, Any]]:
        return [{"name": "envoy.resource_monitors.fixed_heap", "threshold": {"value": share}}]

    # Envoy resets only when the scaled value changes: at saturation it stops, so that must lie where no heap comes.
    scaled = {"scaling_threshold": 0.1, "saturation_threshold": 1.0}
    return {
        "refresh_interval": "0.02s",
        # The smallest class begins at 4 KiB, the largest at 512 KiB.
        "buffer_factory_config": {"minimum_account_to_track_power_of_two": 12},
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
                "typed_config": {"@type": f"{_TYPE}.{heap}", "max_heap_size_bytes": CONTAINER_MEMORY_MIB << 20},
            },
        ],
        "actions": [
            {
                "name": "envoy.overload_actions.reset_high_memory_stream",
                "triggers": [{"name": "envoy.resource_monitors.fixed_heap", "scaled": scaled}],
            },
            {"name": "envoy.overload_actions.shrink_heap", "triggers": at(0.3)},
            {"name": "envoy.overload_actions.stop_accepting_requests", "triggers": at(0.3)},
            {"name": "envoy.overload_actions.stop_accepting_connections", "triggers": at(0.5)},
        ],
    }
