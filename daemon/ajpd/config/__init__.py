"""Configuration files → one frozen `Config`. The names for the rest of the daemon; no code.

Inside, imports go down this list only: errors, values, properties, rows, directives, secret,
addresses, model, changes, attributes, certificates, sections, workers, status_worker,
balancers, extensions, urimap, hosts, toml, server, tls, parts, checks,
conflicts, load.
"""

from .errors import ConfigError, ConfigErrors, ConfigWarning, Place
from .hosts import HostMaps
from .load import load_files, load_toml, reread_maps
from .model import (
    CPING_IDLE_MS,
    BalancerConfig,
    Config,
    HostConfig,
    ListenAddress,
    LogConfig,
    MapConfig,
    MemberConfig,
    Mount,
    MountSource,
    ServerConfig,
    StatusConfig,
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
    "HostConfig",
    "HostMaps",
    "ListenAddress",
    "LogConfig",
    "MapConfig",
    "MemberConfig",
    "Mount",
    "MountSource",
    "Place",
    "ServerConfig",
    "StatusConfig",
    "UriMap",
    "WorkerConfig",
    "load_files",
    "load_toml",
    "reread_maps",
]
