"""OpenSIPS: the columns of its tables `dispatcher` and `load_balancer`.

    dispatcher     setid destination socket state probe_mode weight priority attrs description
    load_balancer  group_id dst_uri resources probe_mode attrs description

Both have `attrs`, which is free text for the script there, and not `key=value`: it is kept under its own name, as are
the description and the resources, so that nothing of a row is lost.  What a resource may carry ("pstn=32;vm=2" are 32
calls of one kind and 2 of another) is a limit by calls, and none is kept here.
"""

import re

from fastsip.sources.columns import (
    LEAST_PRIORITY,
    MOST_PRIORITY,
    MOST_SETID,
    Columns,
    Unfit,
    share,
    sip_uri,
    text_of,
    whole,
)
from fastsip.sources.rows import Row

# `state` of the dispatcher.  The router there writes it, too: PROBING is who failed and is not used until a probe is
# answered.  Who is INACTIVE was taken out by an operator, and is not probed either.
ACTIVE, INACTIVE, PROBING = 0, 1, 2

ONLY_FAILED = "only-failed"
FREESWITCH = "fs://"    # how a weight or a capacity begins that is asked for at a FreeSWITCH
PASSWORD = re.compile(r"(fs://)[^;\s]*@", re.IGNORECASE)
ADDRESS_OR_PORT = re.compile(r"[0-9.]+|\[.*\]|.*:\d+")


def read_dispatcher(columns: Columns, where: str) -> Row:
    """One row; a column that is absent or NULL has OpenSIPS' default."""
    state = whole(columns, "state", ACTIVE, PROBING)
    always = whole(columns, "probe_mode", 0, 1) == 1
    weight = text_of(columns, "weight")
    live = weight.lower().startswith(FREESWITCH)    # there it follows that FreeSWITCH's sessions; nobody asks it here
    socket, tag = _socket(text_of(columns, "socket"))
    return Row(
        where=where,
        setid=whole(columns, "setid", 0, MOST_SETID),
        uri=sip_uri(columns, "destination"),
        priority=whole(columns, "priority", LEAST_PRIORITY, MOST_PRIORITY),
        weight=None if live else share(columns, "weight"),
        admin="disabled" if state == INACTIVE else "enabled",
        starts_down=state == PROBING,
        # Who failed is probed there in any case, and if that is all, only until a probe is answered.
        probed=True if always or state == PROBING else None,
        probe_mode=ONLY_FAILED if state == PROBING and not always else "",
        socket=socket,
        listener_tag=tag,
        attrs=_kept(columns, "attrs", "description", *(["weight"] if live else [])),
    )


def read_load_balancer(columns: Columns, where: str) -> Row:
    """One row; its group is the set.  A probe_mode above 2 is 2 there."""
    probe_mode = whole(columns, "probe_mode", 0, 0x7FFF_FFFF)
    _check_resources(text_of(columns, "resources"))
    return Row(
        where=where,
        setid=whole(columns, "group_id", 0, MOST_SETID),
        uri=sip_uri(columns, "dst_uri"),
        probed=probe_mode > 0,
        probe_mode=ONLY_FAILED if probe_mode == 1 else "",
        attrs=_kept(columns, "resources", "attrs", "description"),
    )


def _kept(columns: Columns, *names: str) -> tuple[tuple[str, str], ...]:
    """What stands in these columns, as it stands there but for passwords: attributes are shown to everybody."""
    found = ((name, PASSWORD.sub(r"\1", text_of(columns, name))) for name in names)
    return tuple((name, text) for name, text in found if text)


def _socket(text: str) -> tuple[str, str]:
    """[proto:]address[:port] -> socket, or [proto:]tag -> tag; the protocol that is missing is udp."""
    scheme, colon, rest = text.partition(":")
    scheme = scheme.lower()
    if not (colon and scheme.isalpha()):
        scheme, rest = "udp", text
    if not rest or (scheme == "udp" and not ADDRESS_OR_PORT.fullmatch(rest)):
        return "", rest
    return f"{scheme}:{rest}", ""


def _check_resources(text: str) -> None:
    """There, one that cannot be read leaves out its row."""
    for part in filter(None, map(str.strip, text.split(";"))):
        name, _, capacity = (word.strip() for word in part.partition("="))
        if not name or not (capacity.isdecimal() or capacity.lower().startswith(FREESWITCH)):
            raise Unfit('resources: allowed are names with numbers of calls, such as "pstn=32;vm=2"',
                        PASSWORD.sub(r"\1", part))
