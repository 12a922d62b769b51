"""ajpd: HTTP in front, AJP13 to Tomcat behind. See `ajpd --help`."""
