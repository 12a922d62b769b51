"""Configuration files → one frozen `Config`. The names for the rest of the daemon; no code.

Inside, imports go down this list only: errors, properties, secret, values, rows, directives,
model, attributes, certificates, sections, workers, balancers, extensions, urimap, toml, server,
tls, load.
"""

from .errors import ConfigError, ConfigErrors, ConfigWarning, Place
from .load import load_files, load_toml
from .model import (
    CPING_IDLE_MS,
    BalancerConfig,
    Config,
    ListenAddress,
    LogConfig,
    MemberConfig,
    Mount,
    MountSource,
    ServerConfig,
    WorkerConfig,
)
from .urimap import Decision, UriMap

__all__ = [
    "CPING_IDLE_MS",
    "BalancerConfig",
    "Config",
    "ConfigError",
    "ConfigErrors",
    "ConfigWarning",
    "Decision",
    "ListenAddress",
    "LogConfig",
    "MemberConfig",
    "Mount",
    "MountSource",
    "Place",
    "ServerConfig",
    "UriMap",
    "WorkerConfig",
    "load_files",
    "load_toml",
]
