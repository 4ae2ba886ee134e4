"""What the CA's back office works with: readers of the feed, and the desk."""
