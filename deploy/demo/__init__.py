"""A scripted AR who renews by public means only, for the demo, the crash drill, the system tests and the benchmark."""
