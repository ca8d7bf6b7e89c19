"""The description of all paths (OpenAPI 3.1), made of their table and of the types of what is asked and answered."""

import re
from collections.abc import Iterable
from typing import Any

import msgspec

from fastsip import __version__
from fastsip.desk.http.access import NOBODY
from fastsip.desk.http.problems import CONTENT_TYPE, Problem
from fastsip.desk.http.routes import Call, Query, Route

REF = "#/components/schemas/{name}"
DESCRIPTION = "Over control.sock nobody needs a token, over TCP a bearer token of [api]."


def route(found: tuple[Route, ...]) -> Route:
    """Where it is read."""
    def answer(call: Call) -> dict[str, Any]:
        return whole

    own = Route(method="GET", path="/v1/openapi.json", answer=answer, help="This description.", answers=dict[str, Any])
    whole = document((*found, own))
    return own


def document(found: Iterable[Route]) -> dict[str, Any]:
    routes = list(found)
    types = [kind for each in routes for kind in (each.answers, each.body) if kind is not None]
    schemas, components = msgspec.json.schema_components([*types, Problem], ref_template=REF)
    *others, problem = schemas
    left = iter(others)
    paths: dict[str, dict[str, Any]] = {}
    for each in routes:
        answers = next(left) if each.answers is not None else {"type": "string"}
        body = next(left) if each.body is not None else None
        paths.setdefault(each.path, {})[each.method.lower()] = operation(each, answers, body, problem)
    return {
        "openapi": "3.1.0",
        "info": {"title": "fastsip", "version": __version__, "description": DESCRIPTION},
        "paths": paths,
        "components": {"schemas": components, "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
    }


def operation(each: Route, answers: Any, body: Any, problem: Any) -> dict[str, Any]:
    names = re.findall(r"\{(\w+)\}", each.path)
    parameters = [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names]
    found: dict[str, Any] = {
        "operationId": "-".join(filter(None, re.split(r"\W+", f"{each.method.lower()} {each.path}"))),
        "summary": each.help,
        "parameters": parameters + [parameter(one) for one in each.query],
        "responses": {
            str(each.status): {"description": "It is so, or done.",
                               "content": {kind: {"schema": answers} for kind in each.content_types}},
            "default": {"description": "It is not, and why.", "content": {CONTENT_TYPE: {"schema": problem}}},
        },
        "security": [{}] if each.needs == NOBODY else [{"token": []}],
    }  # fmt: skip
    if body is not None:
        found["requestBody"] = {"required": True, "content": {"application/json": {"schema": body}}}
    return found


def parameter(one: Query) -> dict[str, Any]:
    value: dict[str, Any] = {"type": "string", **({"enum": list(one.values)} if one.values else {})}
    schema = {"type": "array", "items": value} if one.many else value
    return {"name": one.name, "in": "query", "description": one.help, "schema": schema}
