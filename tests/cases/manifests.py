"""The manifests of docs/kubernetes against the schemas of Kubernetes and KubeVirt."""

import glob
import importlib
import json
import os

from harness.context import ROOT, Skip
from harness.runner import test

FOLDER = os.path.join(ROOT, "docs", "kubernetes")


def module(name):
    try:
        return importlib.import_module(name)
    except ImportError as problem:
        remedy = "pip install kubernetes-validate"
        raise Skip(f"the Python module {name} isn't installed: {remedy}") from problem


def documents(yaml):
    """Each document of the manifests."""
    for path in sorted(glob.glob(os.path.join(FOLDER, "*.yaml"))):
        with open(path, encoding="utf-8") as file:
            for document in yaml.safe_load_all(file):
                yield os.path.basename(path), document


def strict(schema):
    """A copy that allows no unknown fields, as `kubectl apply` does by default."""
    if isinstance(schema, list):
        return [strict(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    copy = {name: strict(part) for name, part in schema.items()}
    if isinstance(schema.get("properties"), dict):
        copy.setdefault("additionalProperties", False)
    return copy


@test()
def kubernetes_accepts_the_manifests(_):
    """Each manifest of Kubernetes' own kinds is valid by the schemas of kubernetes-validate."""
    validate, yaml = module("kubernetes_validate"), module("yaml")
    kinds = []
    for name, document in documents(yaml):
        if not document["apiVersion"].startswith("kubevirt.io/"):
            validate.validate(document, validate.latest_version(), strict=True)
            kinds.append((name, document["kind"]))
    assert ("process.yaml", "Deployment") in kinds and ("urunc.yaml", "RuntimeClass") in kinds


@test()
def kubevirt_accepts_the_manifests(_):
    """Each of KubeVirt's kinds is valid by its OpenAPI description, api/openapi-spec/swagger.json
    of its sources, which SOIL_KUBEVIRT_API names."""
    path = os.environ.get("SOIL_KUBEVIRT_API")
    if not path:
        raise Skip("SOIL_KUBEVIRT_API names no api/openapi-spec/swagger.json of KubeVirt's sources")
    jsonschema, yaml = module("jsonschema"), module("yaml")
    with open(path, encoding="utf-8") as file:
        definitions = strict(json.load(file)["definitions"])
    count = 0
    for _, document in documents(yaml):
        if document["apiVersion"] == "kubevirt.io/v1":
            reference = {"$ref": f"#/definitions/v1.{document['kind']}"}
            schema = {**reference, "definitions": definitions}
            jsonschema.Draft4Validator(schema).validate(document)
            count += 1
    assert count == 2, count
