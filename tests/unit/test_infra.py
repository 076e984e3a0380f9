"""Files of infra/: valid by published schemas, of the versions that are tested here, and naming what is there."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import ray
import yaml

from cu_core.config_io import load_config
from pipelines.sweep.space import read_sweep
from pipelines.tracking.prometheus import GAUGES

ROOT = Path(__file__).parents[2]
INFRA = ROOT / "infra"
KUBERNETES = "1.33"
MANIFESTS = sorted([*(INFRA / "kuberay").glob("*.yaml"), INFRA / "mlflow" / "kubernetes.yaml"])


def documents(path: Path) -> list[dict[str, Any]]:
    return [d for d in yaml.safe_load_all(path.read_text()) if d]


def pinned(package: str) -> str:
    (version,) = re.findall(rf"^{package}==(.+)$", (ROOT / "constraints.txt").read_text(), re.M)
    return str(version)


def pod_specs(value: Any) -> Iterator[dict[str, Any]]:
    """Specs of all pod templates, however deep."""
    if isinstance(value, dict):
        if "template" in value and "spec" in value["template"]:
            yield value["template"]["spec"]
        for inner in value.values():
            yield from pod_specs(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from pod_specs(inner)


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda p: p.name)
def test_manifests_are_valid(path: Path) -> None:
    for document in documents(path):
        if document["apiVersion"].startswith("ray.io"):  # its own definition is in no package; its pods are Kubernetes'
            for spec in pod_specs(document):
                pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": spec}
                kubernetes_validate.validate(pod, KUBERNETES, strict=True)
        else:
            kubernetes_validate.validate(document, KUBERNETES, strict=True)


def closed(schema: Any) -> Any:
    """A definition of Kubernetes as JSON schema, in which what is not named is refused."""
    if isinstance(schema, list):
        return [closed(inner) for inner in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("x-kubernetes-int-or-string"):
        return {"type": ["integer", "string"]}
    open_ends = "additionalProperties" in schema or schema.get("x-kubernetes-preserve-unknown-fields")
    shut = {"additionalProperties": False} if "properties" in schema and not open_ends else {}
    return {key: closed(inner) for key, inner in schema.items()} | shut


@pytest.mark.skipif(
    "KUBERAY_CRDS" not in os.environ,
    reason="KubeRay's definitions are in no package: KUBERAY_CRDS=.../kuberay/ray-operator/config/crd/bases",
)
def test_kuberay_knows_every_field() -> None:
    checked = []
    for plural in ("rayclusters", "rayjobs"):
        definition = yaml.safe_load((Path(os.environ["KUBERAY_CRDS"]) / f"ray.io_{plural}.yaml").read_text())["spec"]
        (schema,) = (v["schema"]["openAPIV3Schema"] for v in definition["versions"] if v["name"] == "v1")
        schema["properties"]["metadata"] = {}
        for document in [d for path in MANIFESTS for d in documents(path) if d["kind"] == definition["names"]["kind"]]:
            jsonschema.validate(document, closed(schema))
            checked.append(document["kind"])
    assert sorted(checked) == ["RayCluster", "RayJob", "RayJob"]


def test_every_secret_that_pods_read_is_in_the_example_and_holds_nothing() -> None:
    example = {d["metadata"]["name"]: d["stringData"] for d in documents(INFRA / "kuberay" / "secrets.example.yaml")}
    for path in MANIFESTS:
        for document in documents(path):
            text = json.dumps(document)
            for name in re.findall(r'"secretRef": \{"name": "([^"]+)"', text):
                assert name in example
            for name, key in re.findall(r'"secretKeyRef": \{"name": "([^"]+)", "key": "([^"]+)"', text):
                assert key in example[name]
    for values in example.values():
        assert all(
            v == "REPLACE" for k, v in values.items() if "PASSWORD" in k or "SECRET" in k or k.endswith("KEY_ID")
        )


def test_the_cluster_has_the_tested_ray() -> None:
    (cluster,) = documents(INFRA / "kuberay" / "raycluster.yaml")
    assert cluster["spec"]["rayVersion"] == pinned("ray")
    assert ray.__version__ == pinned("ray")


@pytest.mark.parametrize("path", sorted((INFRA / "kuberay").glob("rayjob-*.yaml")), ids=lambda p: p.stem)
def test_jobs_run_commands_that_exist(path: Path) -> None:
    (job,) = documents(path)
    (cluster,) = documents(INFRA / "kuberay" / "raycluster.yaml")
    assert job["spec"]["clusterSelector"] == {"ray.io/cluster": cluster["metadata"]["name"]}
    program, command, config, *overrides = shlex.split(job["spec"]["entrypoint"])
    assert program == "cu"
    if command == "sweep":
        read_sweep(ROOT / config, overrides, False)
    else:
        assert load_config(ROOT / config, overrides).workers.gpu


@pytest.mark.parametrize("name", ["aws", "gcp"])
def test_clusters_of_virtual_machines_are_valid(name: str) -> None:
    schema = json.loads((Path(ray.__file__).parent / "autoscaler" / "ray-schema.json").read_text())
    config = yaml.safe_load((INFRA / "ray" / f"cluster-{name}.yaml").read_text())
    jsonschema.validate(config, schema)
    assert config["provider"]["type"] == name
    assert config["head_node_type"] in config["available_node_types"]


def test_the_compose_file_is_valid() -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    done = subprocess.run([*command, INFRA / "mlflow" / "compose.yaml"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (compose,) = documents(INFRA / "mlflow" / "compose.yaml")
    for service in compose["services"].values():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))


def test_the_image_copies_what_is_there_and_not_ignored() -> None:
    folder = INFRA / "docker"
    text = (folder / "Dockerfile").read_text()
    kept = {line[1:] for line in (folder / "Dockerfile.dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = [word for line in re.findall(r"^COPY (.+)$", text, re.M) for word in line.split()[:-1]]
    assert copied
    for name in copied:
        assert (ROOT / name).exists()
        assert name in kept
    (extras,) = re.findall(r"\.\[([\w,]+)\]", text)
    assert all(f"\n{extra} = [" in (ROOT / "pyproject.toml").read_text() for extra in extras.split(","))


def test_the_dashboard_asks_for_what_jobs_show() -> None:
    dashboard = json.loads((INFRA / "grafana" / "dashboard.json").read_text())
    asked = {name for panel in dashboard["panels"] for target in panel["targets"]
             for name in re.findall(r"ray_cu_([a-z_]+)", target["expr"])}  # fmt: skip
    assert {f"cu_{name}" for name in asked} == set(GAUGES)
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in dashboard["panels"]]
    assert len(set(places)) == len(places)


def test_scripts_parse() -> None:
    for script in INFRA.rglob("*.sh"):
        assert os.access(script, os.X_OK), script
        subprocess.run(["bash", "-n", script], check=True)


def pods() -> Iterator[tuple[str, dict[str, Any]]]:
    for path in MANIFESTS:
        for document in documents(path):
            for spec in pod_specs(document):
                yield f"{path.name}: {spec['containers'][0]['name']}", spec


def test_no_pod_runs_as_root_or_may_become_it() -> None:
    found = list(pods())
    assert len(found) == 4
    for name, spec in found:
        outer = spec["securityContext"]
        assert outer["runAsNonRoot"], name
        assert outer["runAsUser"] > 0, name
        assert outer["seccompProfile"] == {"type": "RuntimeDefault"}, name
        for container in spec["containers"]:
            inner = container["securityContext"]
            assert inner["allowPrivilegeEscalation"] is False, name
            assert inner["capabilities"] == {"drop": ["ALL"]}, name


def test_every_pod_is_told_whom_it_may_reach() -> None:
    policies = [d for path in MANIFESTS for d in documents(path) if d["kind"] == "NetworkPolicy"]
    assert {p["spec"]["podSelector"]["matchLabels"]["app"] for p in policies} == {
        "unlearning", "mlflow", "mlflow-database",
    }  # fmt: skip
    for policy in policies:
        assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]
        assert all(rule.get("ports") or rule.get("to") for rule in policy["spec"]["egress"])


def test_the_image_has_a_user_of_its_own() -> None:
    assert re.findall(r"^USER (.+)$", (INFRA / "docker" / "Dockerfile").read_text(), re.M)[-1] == "unlearn"
