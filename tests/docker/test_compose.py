"""The container files held against the repository. No engine is asked: what a parser can know is checked here."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from pydantic import BaseModel

from core.settings import Settings, load_settings

ROOT = Path(__file__).resolve().parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if "build" in service}
DOCKERFILES = sorted((ROOT / "docker").glob("*.Dockerfile"))
TOML = ROOT / "docker" / "pneumo.toml"

_VARIABLE = re.compile(r"\$\{(\w+)([^}]*)\}")
_IN_PROSE = re.compile(r"`(?:docker compose (?:exec|run --rm) \S+ )?(pneumo [a-z][^`]*)`")


def test_the_stack_is_whole() -> None:
    assert set(OURS) == {"migrate", "listener", "inference", "inference-gpu", "delivery", "api"}
    assert set(SERVICES) - set(OURS) == {"postgres", "redis", "orthanc", "prometheus", "grafana"}
    assert SERVICES["inference-gpu"]["profiles"] == ["gpu"]
    assert SERVICES["orthanc"]["profiles"] == ["demo"]
    assert SERVICES["prometheus"]["profiles"] == SERVICES["grafana"]["profiles"] == ["monitoring"]
    assert "profiles" not in SERVICES["inference"]


@pytest.mark.parametrize("name", OURS)
def test_build_files_are_there(name: str) -> None:
    build = OURS[name]["build"]
    assert ROOT / build["context"] / build["dockerfile"] in DOCKERFILES


@pytest.mark.parametrize("name", SERVICES)
def test_mounted_files_and_volumes_are_there(name: str) -> None:
    for mount in SERVICES[name].get("volumes", ()):
        source = mount.split(":")[0]
        if source.startswith("."):
            assert (ROOT / source).is_file()
        else:
            assert source in COMPOSE["volumes"]


@pytest.mark.parametrize("name", SERVICES)
def test_networks_and_dependencies_are_there(name: str) -> None:
    assert set(SERVICES[name]["networks"]) <= set(COMPOSE["networks"])
    for other, needs in SERVICES[name].get("depends_on", {}).items():
        assert "profiles" not in SERVICES[other]
        if needs["condition"] == "service_healthy":
            assert "test" in SERVICES[other]["healthcheck"]
        else:
            assert needs["condition"] == "service_completed_successfully"
            assert SERVICES[other]["restart"] == "no"


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_that_stays_has_a_health_check(name: str) -> None:
    stays = SERVICES[name]["restart"] != "no"
    assert ("test" in SERVICES[name]["healthcheck"]) == stays


@pytest.mark.parametrize("name", OURS)
def test_ours_run_as_nobody_special(name: str) -> None:
    service = OURS[name]
    assert service["user"] == "10001:10001"
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]


def _pneumo_commands() -> Iterator[tuple[str, list[str]]]:
    for name, service in OURS.items():
        yield f"{name} runs", service["command"]
        test = service["healthcheck"].get("test", ["CMD", "python"])[1:]
        if test[0] == "pneumo":
            yield f"{name} is healthy", test
    for path in DOCKERFILES:
        (line,) = re.findall(r"^CMD (\[.*\])$", path.read_text(), re.MULTILINE)
        yield path.name, yaml.safe_load(line)
    for document in (ROOT / "docs" / "deployment.md", ROOT / "docker-compose.yml", TOML):
        for words in _IN_PROSE.findall(document.read_text()):
            yield f"{document.name}: {words}", shlex.split(words)


@pytest.mark.parametrize(("_where", "words"), list(_pneumo_commands()))
def test_commands_exist(_where: str, words: list[str]) -> None:
    from cli.main import app

    assert words[0] == "pneumo"
    command = typer.main.get_command(app)
    for word in words[1:]:
        if not isinstance(command, typer.core.TyperGroup):
            break
        assert word in command.commands, f"pneumo has no command {word!r}"
        command = command.commands[word]
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= known


def _names_of_settings(model: type[BaseModel], prefix: str) -> Iterator[str]:
    for name, field in model.model_fields.items():
        variable = f"{prefix}{name.upper()}"
        yield variable
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _names_of_settings(field.annotation, f"{variable}__")


def test_variables_are_settings() -> None:
    settings = {*_names_of_settings(Settings, "PNEUMO_"), "PNEUMO_CONFIG"}
    used = {variable for service in OURS.values() for variable in service["environment"]}
    for path in DOCKERFILES:
        used |= set(re.findall(r"\bPNEUMO_\w+(?==)", path.read_text()))
    assert {"PNEUMO_CONFIG", "PNEUMO_DATABASE_URL", "PNEUMO_BROKER_URL", "PNEUMO_HOME"} <= used
    assert used <= settings


def test_secrets_have_no_default() -> None:
    variables = _VARIABLE.findall((ROOT / "docker-compose.yml").read_text())
    services = ("POSTGRES", "REDIS", "ORTHANC", "GRAFANA")
    assert {name for name, _ in variables} == {f"{service}_PASSWORD" for service in services}
    assert all(rest.startswith(":?") for _, rest in variables)
    example = dict(re.findall(r"^(\w+)=(.*)$", (ROOT / "docker" / "env.example").read_text(), re.MULTILINE))
    assert example == dict.fromkeys({name for name, _ in variables}, "")
    for service in SERVICES.values():
        for variable, value in service.get("environment", {}).items():
            assert "PASSWORD" not in variable or str(value).startswith("${")


def test_configuration_loads_and_fits_the_stack(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PNEUMO_CONFIG", str(TOML))
    settings = load_settings()
    sources = {source.name: source for source in settings.sources}
    assert sources["health check"].ae_titles == ("PNEUMO-HEALTH",)
    assert sources["health check"].addresses == ("127.0.0.1",)
    listener = settings.listener
    assert SERVICES["listener"]["ports"] == [f"{listener.port}:{listener.port}"]
    assert f"{listener.ae_title}@127.0.0.1:{listener.port}" in SERVICES["listener"]["healthcheck"]["test"]
    assert settings.api.behind_proxy
    assert SERVICES["api"]["ports"] == [f"127.0.0.1:{settings.api.port}:{settings.api.port}"]
    (destination,) = settings.destinations
    pacs = SERVICES[destination.host]
    assert pacs["environment"]["ORTHANC__DICOM_AET"] == destination.ae_title
    assert f"127.0.0.1:4242:{destination.port}" in pacs["ports"]
    modalities = yaml.safe_load(pacs["environment"]["ORTHANC__DICOM_MODALITIES"])
    assert (modalities["pneumo"]["AET"], modalities["pneumo"]["Port"]) == (listener.ae_title, listener.port)
    assert modalities["pneumo"]["Host"] in SERVICES
    assert sources["demo PACS"].ae_titles == (destination.ae_title,)


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_dockerfiles_copy_what_is_there_and_end_as_nobody_special(path: Path) -> None:
    instructions = path.read_text().replace("\\\n", " ").splitlines()
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    for instruction in instructions:
        if instruction.startswith("COPY ") and "--from" not in instruction:
            for source in shlex.split(instruction)[1:-1]:
                assert (ROOT / source).exists()
                let_in = {source, f"{Path(source).parent}/*{Path(source).suffix}"}
                assert let_in & {line[1:] for line in ignored if line.startswith("!")}
    users = [line.split()[1] for line in instructions if line.startswith("USER ")]
    assert users == ["pneumo"]
    assert instructions[-1].startswith("CMD ")
    bases = [line.split()[1] for line in instructions if line.startswith("FROM ")]
    assert bases == ["python:3.11-slim"] * 2


def test_every_package_gets_into_the_images() -> None:
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests"}
    for path in DOCKERFILES:
        assert packages <= set(re.findall(r"^COPY (\w+) \w+$", path.read_text(), re.MULTILINE))


def _pins(name: str) -> dict[str, str]:
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    return dict(re.findall(r"^([a-z0-9._-]+)==(\S+)", text, re.MULTILINE))


@pytest.mark.parametrize("name", ["listener", "api"])
def test_neither_listener_nor_api_installs_what_only_the_model_needs(name: str) -> None:
    assert not {"torch", "torchvision", "numpy", "highdicom", "grad-cam", "opencv-python-headless"} & set(_pins(name))


@pytest.mark.parametrize("name", ["bootstrap", "build", "listener", "api", "worker"])
def test_requirements_are_the_tested_ones_with_hashes(name: str) -> None:
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    assert "://" not in text
    assert "file:" not in text
    assert len(re.findall(r"^[a-z0-9._-]+==.*\\\n +--hash=sha256:", text, re.MULTILINE)) == len(_pins(name))
    assert _pins(name).items() <= (_pins("dev") | _pins("bootstrap")).items()
