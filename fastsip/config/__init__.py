"""The configuration: TOML -> frozen, validated objects; all errors at once, each with its line.

    load(path) -> Config, or ConfigError
    load_run_dir(path) -> where its router is found

Layout: language (the words), values (single values), reader (tables), sets, routes with patterns and
headers, names, api, hep, load (the whole), secrets (the key file), locate (lines), errors, model (the result), handed
(the result for another process).
Nothing here touches the network or a packet.
"""

from fastsip.config.errors import ConfigError, Problem
from fastsip.config.load import load, load_run_dir, load_text, read_text
from fastsip.config.model import (
    CallLimit,
    Condition,
    Config,
    Destination,
    DestinationSet,
    HeaderEdits,
    Hep,
    Limits,
    Listener,
    Name,
    NamedDestination,
    Policy,
    Probe,
    Reply,
    Router,
    Rule,
    Timers,
)

__all__ = [
    "CallLimit",
    "Condition",
    "Config",
    "ConfigError",
    "Destination",
    "DestinationSet",
    "HeaderEdits",
    "Hep",
    "Limits",
    "Listener",
    "Name",
    "NamedDestination",
    "Policy",
    "Probe",
    "Problem",
    "Reply",
    "Router",
    "Rule",
    "Timers",
    "load",
    "load_run_dir",
    "load_text",
    "read_text",
]
