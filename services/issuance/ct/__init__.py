"""Certificate Transparency: the log list, the policies of browsers, SCTs, precertificates and their submission."""
