"""What becomes of one request, and why: `ajpd explain`."""
