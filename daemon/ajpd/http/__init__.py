"""Request heads in, response heads out, and the rules between them."""
