"""The images as they are: what is in them, and a renewal through all of them."""
