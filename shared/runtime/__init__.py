"""Processes of a service: command line, migrations, background tasks, gauges and pruning."""
