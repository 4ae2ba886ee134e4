"""DNS for one machine: a signed root zone that takes updates, and validating resolvers, one for each perspective."""
