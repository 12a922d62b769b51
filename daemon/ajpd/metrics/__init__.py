"""What a Prometheus server fetches: families, their samples, and the answer they are sent in."""
