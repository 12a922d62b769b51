"""`ajpd import`: Apache's configuration → ajpd.toml, and a remark on each line left behind."""
