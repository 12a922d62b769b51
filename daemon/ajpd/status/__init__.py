"""What is known of the running daemon, in one report, and what may be changed while it runs."""
