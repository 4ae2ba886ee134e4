"""Tools for the people who work on this repository; in no image, and imported by no product code."""
