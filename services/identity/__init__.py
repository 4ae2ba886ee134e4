"""identity: owns subscribers, ARs, trust anchors, CRLs and signature evidence; publishes two events."""
