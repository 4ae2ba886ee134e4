"""The pages, a blueprint for each part of the road."""
