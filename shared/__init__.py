"""Code that all services share: events, messaging, web and operations; no rule of a single service."""
