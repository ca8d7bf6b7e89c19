"""For Prometheus, in its text format or in OpenMetrics, as whoever scrapes accepts it."""

from fastsip.api import answers
from fastsip.desk.http.problems import Wrong
from fastsip.desk.http.routes import Call, Query, Route, Text
from fastsip.observe.exposition import OPENMETRICS_TYPE, TEXT_TYPE
from fastsip.observe.metrics import NAMES

OPENMETRICS, PLAIN = (kind.partition(";")[0] for kind in (OPENMETRICS_TYPE, TEXT_TYPE))


def scrape(call: Call) -> Text:
    names = call.query.get("names", NAMES[:1])[0]
    if names not in NAMES:
        raise Wrong(422, f"names: one of {', '.join(NAMES)}")
    openmetrics = wants_openmetrics(call.accept)
    found = answers.metrics(call.run_dir, openmetrics=openmetrics, names=names)
    return Text(found, OPENMETRICS_TYPE if openmetrics else TEXT_TYPE)


def wants_openmetrics(accept: str) -> bool:
    """By the header Accept (RFC 9110 section 12.5.1): named, and not liked less than text."""
    liked = {OPENMETRICS: 0.0, PLAIN: 0.0}
    for part in accept.split(","):
        kind, *parameters = (word.strip().lower() for word in part.split(";"))
        if kind in liked:
            liked[kind] = max(liked[kind], quality(parameters))
    return liked[OPENMETRICS] > 0 and liked[OPENMETRICS] >= liked[PLAIN]


def quality(parameters: list[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0


ROUTES = (
    Route(method="GET", path="/metrics", answer=scrape, help="All numbers, as Prometheus reads them.",
          content_types=(TEXT_TYPE, OPENMETRICS_TYPE),
          query=(Query("names", "Ours, or those that exporters for Kamailio made usual.", values=NAMES),)),
)  # fmt: skip
