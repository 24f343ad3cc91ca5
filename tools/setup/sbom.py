#!/usr/bin/env python3
"""Prints the release's bill of materials, in CycloneDX's JSON: the crates that an installation
compiles, with their licences and the checksums of Cargo.lock, and the packages that the opam files
require (without versions, which opam chooses) or accept (optional).
"""

import json
import re
import tomllib

import archive


def crates():
    locked = tomllib.loads((archive.ROOT / "Cargo.lock").read_text("utf-8"))["package"]
    checksums = {(each["name"], each["version"]): each.get("checksum") for each in locked}
    text = archive.output("cargo", "metadata", "--format-version=1", "--locked", "--offline")
    built = archive.compiled()
    for crate in sorted(json.loads(text)["packages"], key=lambda each: each["id"]):
        name, number = crate["name"], crate["version"]
        if (name, number) not in built:
            continue
        yield {
            "type": "library",
            "name": name,
            "version": number,
            "purl": f"pkg:cargo/{name}@{number}",
            # Older manifests have a slash in place of OR.
            "licenses": [{"expression": crate["license"].replace("/", " OR ")}],
            "hashes": [{"alg": "SHA-256", "content": checksums[name, number]}],
        }


def packages():
    scopes = {}
    own = {file.stem: file.read_text("utf-8") for file in sorted(archive.ROOT.glob("opam/*.opam"))}
    for text in own.values():
        for field, scope in (("depends", "required"), ("depopts", "optional")):
            block = re.search(rf"^{field}: \[(.*?)\]$", text, re.MULTILINE | re.DOTALL)
            for package, rule in re.findall(r'^ *"([^"]+)"(.*)$', block[1] if block else "", re.M):
                if "with-" not in rule and package not in own:
                    scopes.setdefault(package, scope)
    for name, scope in sorted(scopes.items()):
        yield {"type": "library", "name": name, "scope": scope, "purl": f"pkg:opam/{name}"}


def main():
    time = archive.output("git", "log", "-1", "--format=%cd", "--date=format-local:%FT%TZ").strip()
    soil = {
        "type": "application",
        "name": "soil",
        "version": archive.version(),
        "licenses": [{"license": {"id": "ISC"}}],
    }
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"timestamp": time, "component": soil},
        "components": [*crates(), *packages()],
    }
    print(json.dumps(document, indent=1))


if __name__ == "__main__":
    main()
