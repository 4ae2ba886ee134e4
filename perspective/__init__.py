"""Perspective: looks up DNS records and files of strangers for issuance, from its own place and by its own resolver."""
