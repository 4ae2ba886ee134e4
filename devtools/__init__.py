"""Tools for the people who work on this repository; in no image of production, and imported by no product code."""
