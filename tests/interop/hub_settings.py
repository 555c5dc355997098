"""Settings of a hub that anybody may load: a namespace `load` with a history, and no questions asked."""

import os
import re
import urllib.request


def hub_settings(folder, **namespace):
    """Writes a configuration file with this namespace. Returns the settings that name it."""
    path = os.path.join(folder, "tidegate.toml")
    with open(path, "w", encoding="utf-8") as file:
        file.write("insecure = true\n[namespace.load]\n")
        file.writelines(f"{name} = {value}\n" for name, value in namespace.items())
    return {"config": path, "log_level": "warn"}


def counter(server, name):
    """One of the hub's counters, from its metrics; of a listener that speaks HTTP."""
    with urllib.request.urlopen(server.url("http", "/metrics"), timeout=5) as answer:
        text = answer.read().decode()
    found = re.search(rf"^tidegate_{name}(?:_total)? (\d+)$", text, re.MULTILINE)
    assert found, f"{name} is not among the metrics"
    return int(found[1])
