"""The description of the HTTP interface is one by the rules of OpenAPI, and of all paths that there are."""

import msgspec
from openapi_spec_validator import OpenAPIV31SpecValidator, validate

from fastsip.desk.http.openapi import document
from fastsip.desk.http.table import all_routes
from fastsip.desk.http.types import Explanation
from fastsip.router import explain


def test_it_is_valid_and_names_every_path():
    found = document(all_routes())
    validate(found, cls=OpenAPIV31SpecValidator)
    described = {(method.upper(), path) for path, methods in found["paths"].items() for method in methods}
    assert described == {(route.method, route.path) for route in all_routes()}


def test_what_it_answers_is_the_same_document():
    (route,) = (one for one in all_routes() if one.path == "/v1/openapi.json")
    assert route.answer(None) == document(all_routes())


def test_an_explanation_is_that_of_the_command():
    """Another process makes it, so this one has a type of its own."""
    fields = {field.name for field in msgspec.structs.fields(Explanation)}
    assert fields == {field.name for field in msgspec.structs.fields(explain.Explanation)}
