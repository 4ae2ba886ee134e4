"""docs/events: what outsiders read about the events, written from the code."""
