"""Pages of the portal, a blueprint for each part of a renewal."""
