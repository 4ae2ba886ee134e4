"""Scripted AR who renews by public interfaces only, for the demo, the crash drill, the system tests
and the benchmark.
"""
