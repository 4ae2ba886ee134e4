"""Tests of the tools in devtools/."""
