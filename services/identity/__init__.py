"""identity owns subscribers, who may act for them, trust anchors, CRLs and signature evidence.

It publishes SignatureVerified.
"""
