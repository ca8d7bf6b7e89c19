"""SIP messages as the simulated user agents and the checkers read them.

Lines, not values, wherever that is enough: a message is read once for all that look at it.
Texts are Latin-1, so that nothing is lost between bytes and str.  Agents write header lines
as "Name: value", in long or compact form; what the router makes is read in the same way.
"""

Address = tuple[str, int]

COMPACT = {
    "v": "via",
    "f": "from",
    "t": "to",
    "i": "call-id",
    "m": "contact",
    "l": "content-length",
    "c": "content-type",
    "k": "supported",
}


class Msg:
    """One message on the wire.  `lines` are its header lines in order, `names` their names in small letters."""

    __slots__ = (
        "body",
        "branch",
        "call_id",
        "contact",
        "cseq",
        "cseq_method",
        "from_line",
        "from_tag",
        "hops",
        "lines",
        "method",
        "names",
        "raw",
        "record_routes",
        "routes",
        "ruri",
        "start",
        "status",
        "to_line",
        "to_tag",
        "vias",
    )

    def __init__(self, raw: bytes):
        text = raw.decode("latin-1")
        head, _, self.body = text.partition("\r\n\r\n")
        lines = head.split("\r\n")
        self.raw = raw
        self.start = start = lines[0]
        del lines[0]
        self.lines = lines
        self.names = names = []
        self.vias, self.routes, self.record_routes = [], [], []
        self.call_id = self.from_line = self.to_line = self.from_tag = self.to_tag = self.contact = ""
        self.cseq, self.cseq_method, self.hops = 0, "", -1
        if start.startswith("SIP/2.0 "):
            self.status, self.method, self.ruri = int(start[8:11]), "", ""
        else:
            self.method, self.ruri, _ = start.split(" ", 2)
            self.status = 0
        for line in lines:
            name, _, value = line.partition(":")
            name = name.strip().lower()
            name = COMPACT.get(name, name)
            names.append(name)
            value = value.strip()
            if name == "via":
                self.vias += value.split(", ") if ", " in value else [value]
            elif name == "from":
                self.from_line, self.from_tag = line, tag_of(value)
            elif name == "to":
                self.to_line, self.to_tag = line, tag_of(value)
            elif name == "call-id":
                self.call_id = value
            elif name == "cseq":
                number, _, self.cseq_method = value.partition(" ")
                self.cseq = int(number)
            elif name == "route":
                self.routes += value.split(", ")
            elif name == "record-route":
                self.record_routes += value.split(", ")
            elif name == "contact":
                self.contact = value
            elif name == "max-forwards":
                self.hops = int(value)
        self.branch = branch_of(self.vias[0]) if self.vias else ""

    def values(self, name: str) -> list[str]:
        """Of all headers of that name, as they stand."""
        found = []
        for line, known in zip(self.lines, self.names, strict=True):
            if known == name:
                found.append(line.partition(":")[2].strip())
        return found

    def __repr__(self) -> str:
        return f"{self.start} ({self.cseq} {self.cseq_method}, {self.call_id})"


def tag_of(value: str) -> str:
    return parameter(value.partition(">")[2], "tag")


def branch_of(via: str) -> str:
    return parameter(via, "branch")


def parameter(text: str, name: str) -> str:
    """Of a value without quotes; "" when there is none."""
    begin = text.find(f";{name}=")
    if begin < 0:
        return ""
    begin += len(name) + 2
    end = text.find(";", begin)
    return text[begin:] if end < 0 else text[begin:end]


def uri_of(value: str) -> str:
    """Of a name-addr in angle brackets."""
    return value[value.find("<") + 1 : value.find(">")]


def place_of(uri: str) -> Address:
    """Host and port of a sip URI; 5060 when it names none."""
    rest = uri.partition(":")[2].partition(";")[0]
    rest = rest.rpartition("@")[2]
    host, _, port = rest.partition(":")
    return host, int(port) if port else 5060


def via_place(via: str) -> Address:
    """The sent-by of a Via value."""
    sent_by = via.partition(" ")[2].partition(";")[0]
    host, _, port = sent_by.partition(":")
    return host, int(port) if port else 5060
