"""Processes of a service: its command line, migrations, background tasks, gauges and pruning."""
