"""Every path that is served, from the files of their groups: the place for another group."""

from fastsip.desk.http import dispatcher, explain, kamailio, metrics, openapi, router
from fastsip.desk.http.routes import Route

GROUPS = (router, dispatcher, explain, metrics, kamailio)


def all_routes() -> tuple[Route, ...]:
    """With that of their description."""
    found = tuple(route for group in GROUPS for route in group.ROUTES)
    return (*found, openapi.route(found))
