"""Tomcat's side of a configuration: what its server.xml says, held against ours."""
