"""The OpenAPI document: what FastAPI reads off the routes, and what their dependencies say about callers."""

from __future__ import annotations

from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, iter_route_contexts

from api.etags import describe_etags
from api.problems import Problem, problem_document
from core.scopes import Scope

_SCHEMAS = "#/components/schemas/"
PROBLEM_SCHEMA = {"$ref": f"{_SCHEMAS}Problem"}
_OF_CALLERS = {
    HTTPStatus.UNAUTHORIZED: "No valid credentials came with the request.",
    HTTPStatus.FORBIDDEN: "The caller lacks the scope.",
    HTTPStatus.SERVICE_UNAVAILABLE: "It cannot be done now; for one, a token's issuer does not answer.",
}
_OF_BODIES = {
    HTTPStatus.BAD_REQUEST: "There was an error parsing the body.",
    HTTPStatus.REQUEST_TIMEOUT: "The body came too slowly.",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "The body is too long.",
}
_OF_ALL = {HTTPStatus.INTERNAL_SERVER_ERROR: "The service failed to answer; its log has the cause."}


class DescribedAPI(FastAPI):
    """Names in the document, for each operation, the scopes it needs and the problems that any route may answer."""

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            document = super().openapi()
            problem_schema = Problem.model_json_schema(ref_template=f"{_SCHEMAS}{{model}}")
            document["components"]["schemas"] |= problem_schema.pop("$defs") | {"Problem": problem_schema}
            for route in iter_route_contexts(self.routes):
                if isinstance(route.original_route, APIRoute) and route.include_in_schema:
                    for method in route.methods or ():
                        operation = document["paths"][route.path_format][method.lower()]
                        _describe(operation, route.dependant)
                        if method == "GET":
                            describe_etags(operation)
            self.openapi_schema = document
        return self.openapi_schema


def scopes_of(dependant: Dependant) -> frozenset[Scope]:
    """What a route requires of its caller, through all of its dependencies."""
    return frozenset(_scopes(dependant))


def _scopes(dependant: Dependant) -> Iterator[Scope]:
    yield from getattr(dependant.call, "scopes", ())
    for dependency in dependant.dependencies:
        yield from _scopes(dependency)


def _describe(operation: dict[str, Any], dependant: Dependant) -> None:
    problems = dict(_OF_ALL)
    if "security" in operation:
        scopes = sorted(scopes_of(dependant))
        # OpenAPI 3.1, Security Requirement Object: beyond OAuth 2, the list names the roles that are needed.
        operation["security"] = [dict.fromkeys(each, scopes) for each in operation["security"]]
        needs = f"Needs {' and '.join(f'`{scope}`' for scope in scopes)}." if scopes else "Needs valid credentials."
        operation["description"] = f"{operation.get('description', '')}\n\n{needs}".strip()
        problems |= _OF_CALLERS
    if "requestBody" in operation:
        problems |= _OF_BODIES
    for status, detail in problems.items():
        operation["responses"].setdefault(
            str(status.value),
            {
                "description": status.phrase,
                "content": {
                    "application/problem+json": {
                        "schema": PROBLEM_SCHEMA,
                        "example": problem_document(status, detail).model_dump(),
                    }
                },
            },
        )
