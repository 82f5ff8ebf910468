"""Looks at what docker-compose made of docker-compose.yml, and at the Dockerfile. Called by test-compose.sh.

Usage: test-compose.py EMBEDDED.yml FULL.yml
"""
import os
import re
import sys

import yaml

embedded, full = (yaml.safe_load(open(path)) for path in sys.argv[1:])


def services(config, profile):
    return {name: service for name, service in config["services"].items() if profile in service.get("profiles", [profile])}


assert set(services(embedded, "embedded")) == {"tollgate"}, services(embedded, "embedded").keys()
found = services(full, "full")
replicas = {f"tollgate-{number}" for number in (1, 2, 3)}
assert set(found) == replicas | {"worker", "postgres", "prometheus"}, found.keys()

# Each replica has a name and a journal of its own, and shares the pepper with the others.
names = [found[name]["environment"]["TOLLGATE_JOURNAL__REPLICA"] for name in replicas]
assert sorted(names) == sorted(replicas), names
volumes = [volume for name in replicas for volume in map(str, found[name]["volumes"]) if "/data" in volume]
assert len(set(volumes)) == 3, volumes
ports = [port for service in found.values() for port in map(str, service.get("ports", []))]
for port in ports:
    assert "127.0.0.1" in port, f"{port} is open to the network"
published = [re.search(r"127\.0\.0\.1:(\d+)", port) or re.search(r"published': '?(\d+)", port) for port in ports]
assert len({match[1] for match in published}) == len(ports), ports
for name in replicas:
    service = found[name]
    assert service["read_only"] and service["cap_drop"] == ["ALL"], service
    assert {secret["source"] if isinstance(secret, dict) else secret for secret in service["secrets"]} == {"admin_token", "pepper", "postgres_url"}
    assert not any("PASSWORD" in key or "TOKEN" in key for key in service["environment"]), service["environment"]

# Every file that is mounted or built from is there.
root = os.getcwd()
for service in [*found.values(), *services(embedded, "embedded").values()]:
    for volume in service.get("volumes", []):
        source = volume["source"] if isinstance(volume, dict) else volume.split(":")[0]
        if source.startswith("/"):
            assert os.path.exists(source), source
    build = service.get("build")
    if build:
        assert os.path.samefile(build["context"], root), build

dockerfile = open("Dockerfile").read()
stages = set(re.findall(r"^FROM \S+ AS (\S+)$", dockerfile, re.M))
targets = {service["build"]["target"] for service in found.values() if "build" in service}
assert targets <= stages, targets - stages
ignored = open(".dockerignore").read().split()
for stage in ("gateway", "worker"):
    body = dockerfile.split(f" AS {stage}\n")[1].split("\nFROM ")[0]
    assert "USER nonroot" in body and "ENTRYPOINT" in body, stage
assert "HEALTHCHECK" in dockerfile and "--locked" in dockerfile
# Whatever Cargo.toml names must be in the build's context.
manifest = open("Cargo.toml").read()
needed = {"src", "crates", "benches", "tests", "Cargo.toml", "Cargo.lock", "scripts/release.sh", "bench"}
needed |= {match.split("/")[0] for source in ("src/catalog/files.rs", "src/config.rs", "src/app/up.rs", "src/http/admin/page.rs")
           for match in re.findall(r'include_(?:str|bytes)!\("(?:\.\./)+([^"]+)"', open(source).read())}
missing = {name for name in needed if f"!{name}" not in ignored or not os.path.exists(name)}
assert not missing, missing
assert "migrations" in {name.lstrip("!") for name in ignored}
for secret in ("data", "target", ".git", "deploy"):
    assert f"!{secret}" not in ignored, secret
print(f"compose: embedded 1 service, full {len(found)} services, {len(ports)} ports, all on this machine only")
