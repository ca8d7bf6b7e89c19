"""`fastsip top` on a terminal: lines of `words`, keys, and orders that are asked for once more before they are given.

Looks and orders wait for others, so each has a thread of its own, a daemon: who quits waits for nobody.  Of
destinations only the rows are made that stand on the screen.  All text is made printable by `words`, and is no markup
here.
"""

import threading
import time
from collections.abc import Callable
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual import events
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.screen import ModalScreen
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.widgets import Input, Static

from fastsip.api import answers
from fastsip.api.answers import Unknown, Unreadable
from fastsip.api.socket import NotRunning, Refused
from fastsip.top import words
from fastsip.top.course import Course, Picture, Row, look

NOT_SEEN = (NotRunning, Refused, Unreadable)
WHY = "fastsip top"     # kept with what an operator says here
LEAST_ROWS = 8          # of destinations, before shards get more lines than two
LEAST_SHARDS = 2
OTHER_LINES = 15        # title, nine of the router, heads of shards and destinations, about, the chosen one, keys
KEYS = "d drain  e enable  D disable  p probe  s sort  / filter  ? help  q quit"
HELP = """\
up, down, j, k      one destination up or down; PgUp, PgDn, Home, End
s                   sort: load, errors, name
/                   filter: text of an id, URI, set, health or state; Esc shows all
d                   drain: no new calls, what belongs to calls goes on
e                   enable
D                   disable: no new calls, no probes
p                   probe now
q                   quit

A name stands here by its targets. OPEN: attempts without a final
response. FAILED: share of failures, fading within a minute.
Times: half, and 95 of a hundred, were set up by then.

Any key goes back."""


class Looked(Message):
    """What a look has found, or why it found nothing."""

    def __init__(self, picture: Picture | None, trouble: str = "", fault: Exception | None = None):
        super().__init__()
        self.picture, self.trouble, self.fault = picture, trouble, fault


class Answered(Message):
    """How an order ended, in words."""

    def __init__(self, text: str, fault: Exception | None = None):
        super().__init__()
        self.text, self.fault = text, fault


class Watcher(threading.Thread):
    """Looks until it is stopped; a look that takes long is followed by a pause as long."""

    def __init__(self, run_dir: str, interval_s: float, tell: Callable[[Message], object]):
        super().__init__(name="looks", daemon=True)
        self._run_dir, self._interval_s, self._tell = run_dir, interval_s, tell
        self._course = Course()
        self._stopped = threading.Event()

    def stop(self) -> None:
        self._stopped.set()

    def run(self) -> None:
        pause = 0.0
        while not self._stopped.wait(pause):
            began = time.monotonic()
            self._tell(self._look())
            pause = max(self._interval_s, time.monotonic() - began)

    def _look(self) -> Looked:
        try:
            return Looked(self._course.take(look(self._run_dir)))
        except NOT_SEEN as error:
            return Looked(None, str(error))
        except Exception as error:
            return Looked(None, fault=error)    # the program ends with it


def order_text(run_dir: str, order: str, identity: str) -> str:
    """Gives the order, and says how it ended."""
    try:
        if order == "probe":
            (end,) = answers.probe(run_dir, [identity], [])["ends"] or [{"alive": None}]
            if end["alive"] is None:
                return f"{identity}: nothing is known of the probe"
            return f"{identity}: {'alive' if end['alive'] else 'dead'}, {end['code']} after {end['ms']} ms"
        said = answers.say(run_dir, order, [identity], [], WHY)
    except (*NOT_SEEN, Unknown) as error:
        return f"{order} {identity}: {error}"
    empty = "".join(f"; nobody of set {name} takes new calls now" for name in said["empty"])
    return f"{said['done']}: {identity}{'' if said['changed'] else ', as before'}{empty}"


# ---------------------------------------------------------------- what stands on the screen


def text_of(lines: list[words.Line]) -> Text:
    """For what is no destination; no_wrap, so that each line is one."""
    found = Text(no_wrap=True, overflow="ellipsis", end="")
    for number, line in enumerate(lines):
        found.append("\n" if number else "")
        for piece, colour in line:
            found.append(piece, style_of(colour))
    return found


def style_of(colour: str, reverse: bool = False) -> Style:
    return Style(color=colour or None, reverse=reverse or None)


class Chosen(Message):
    """Another destination, or the same one as it is now."""


class Destinations(ScrollView, can_focus=True):
    """A row for each destination, made when it is on the screen; one of them is chosen, by its id.

    So the choice stays with its destination however rows are sorted; when that goes, who stands in its place is chosen.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "step(-1)", show=False), Binding("down,j", "step(1)", show=False),
        Binding("pageup", "page(-1)", show=False), Binding("pagedown", "page(1)", show=False),
        Binding("home", "step(-1000000)", show=False), Binding("end", "step(1000000)", show=False),
    ]  # fmt: skip

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[Row] = []
        self.columns: list[int] = []
        self.place = 0
        self.made = 0   # rows, since the beginning

    @property
    def chosen(self) -> Row | None:
        return self.rows[self.place] if self.rows else None

    def put(self, rows: list[Row], columns: list[int]) -> None:
        before = self.chosen
        self.rows, self.columns = rows, columns
        places = [at for at, row in enumerate(rows) if before and row.id == before.id]
        self.place = places[0] if places else max(0, min(self.place, len(rows) - 1))
        self.virtual_size = Size(self.size.width, len(rows))
        self._show_chosen()

    def action_step(self, by: int) -> None:
        self.place = max(0, min(self.place + by, len(self.rows) - 1))
        self._show_chosen()

    def action_page(self, way: int) -> None:
        self.action_step(way * max(1, self.size.height - 1))

    def _show_chosen(self) -> None:
        top, height = self.scroll_offset.y, max(1, self.size.height)
        if not top <= self.place < top + height:
            self.scroll_to(y=self.place if self.place < top else self.place - height + 1, animate=False, force=True)
        self.refresh()
        self.post_message(Chosen())

    def render_line(self, y: int) -> Strip:
        at, width = y + self.scroll_offset.y, self.size.width
        if at >= len(self.rows):
            return Strip.blank(width)
        self.made += 1
        line = words.line_of(self.rows[at], self.columns)
        strip = Strip([Segment(text, style_of(colour, at == self.place)) for text, colour in line])
        return strip.adjust_cell_length(width, style_of("", at == self.place))


class Asked(ModalScreen[bool]):
    """A question that y answers; any other key is no.  Without a question: words, until a key comes.

    One key answers: those that were pressed with it may still come here, and say nothing.
    """

    def __init__(self, words: str):
        super().__init__()
        self._words = words
        self._answered = False

    def compose(self) -> ComposeResult:
        yield Static(self._words, markup=False)

    def on_key(self, event: events.Key) -> None:
        event.stop()
        if not self._answered:
            self._answered = True
            self.dismiss(event.character == "y")


class Top(App[None]):
    """Shows pictures as they come; ends with the fault of a look or an order, if there is one."""

    ENABLE_COMMAND_PALETTE = False
    CSS = """
    Screen, Static, Destinations, Input { background: ansi_default; color: ansi_default; border: none; }
    Static, Input { height: auto; width: 100%; padding: 0; }
    Input { height: 1; display: none; }
    Destinations { height: 1fr; width: 100%; scrollbar-size-vertical: 0; scrollbar-size-horizontal: 0; }
    Asked { align: center middle; }
    Asked Static { width: auto; max-width: 78; border: round ansi_default; padding: 0 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        *(Binding(key, f"order('{order}')", show=False)
          for key, order in (("d", "drain"), ("e", "enable"), ("D", "disable"), ("p", "probe"))),
        Binding("s", "sort", show=False), Binding("slash", "filter", show=False),
        Binding("question_mark", "help", show=False), Binding("q,ctrl+c", "quit", show=False, priority=False),
        Binding("escape", "all", show=False),
    ]  # fmt: skip

    def __init__(self, run_dir: str, interval_s: float, sort: str, text: str):
        super().__init__(ansi_color=True)
        self._run_dir, self._sort, self._text = run_dir, sort, text
        self._upper, self._table = Static("looking", markup=False), Destinations()
        self._chosen, self._said = Static(markup=False), Static(KEYS, markup=False)
        self._filter = Input(placeholder="filter", select_on_focus=False)
        self._watcher = Watcher(run_dir, interval_s, self.post_message)
        self._ordering = False
        self._trouble = ""
        self.picture: Picture | None = None
        self.fault: Exception | None = None

    def compose(self) -> ComposeResult:
        yield from (self._upper, self._table, self._chosen, self._said, self._filter)

    def on_mount(self) -> None:
        self._table.focus()
        self._watcher.start()

    def on_unmount(self) -> None:
        self._watcher.stop()

    # ------------------------------------------------------------ what is seen

    def on_looked(self, message: Looked) -> None:
        self._end_with(message.fault)
        self._trouble = message.trouble
        self.picture = message.picture or self.picture
        self._show()

    def on_resize(self) -> None:
        self._show()

    def _show(self) -> None:
        if self.picture is None:
            self._upper.update(text_of([[(words.plain(self._trouble) or "looking", "")]]))
            return
        rows = words.chosen(self.picture.rows, self._sort, self._text)
        spare = self.size.height - OTHER_LINES - LEAST_ROWS
        columns = words.widths(self.size.width, rows)
        self._upper.update(text_of([
            words.title(self.picture, self._trouble),
            *words.upper(self.picture, max(LEAST_SHARDS, spare)),
            words.about(self.picture, len(rows), self._sort, self._text),
            words.head(columns),
        ]))  # fmt: skip
        self._table.put(rows, columns)

    def _say(self, text: str) -> None:
        self._said.update(text_of([[(words.plain(text), "")]]))

    def on_chosen(self) -> None:
        row = self._table.chosen
        self._chosen.update(text_of([words.all_of(row) if row else []]))

    # ------------------------------------------------------------ keys

    def action_sort(self) -> None:
        names = [*words.SORTS]
        self._sort = names[(names.index(self._sort) + 1) % len(names)]
        self._show()

    def action_filter(self) -> None:
        self._filter.value = self._text
        self._filter.display = True
        self._filter.focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        if event.input.display:
            self._text = event.value
            self._show()

    def on_input_submitted(self) -> None:
        self._leave_filter()

    def action_all(self) -> None:
        self._text = ""
        self._leave_filter()

    def _leave_filter(self) -> None:
        self._filter.display = False
        self._table.focus()
        self._say(KEYS)
        self._show()

    def action_help(self) -> None:
        self.push_screen(Asked(HELP))

    # ------------------------------------------------------------ orders

    def action_order(self, order: str) -> None:
        """What is asked about is what the order is given for, whatever is chosen then."""
        row = self._table.chosen
        if row is None:
            return
        if self._ordering:
            self._say("the order before is not answered yet")
            return

        def answered(yes: bool | None) -> None:
            if not yes:
                self._say(KEYS)
                return
            self._ordering = True
            self._say(f"{order} {row.id} ...")
            threading.Thread(target=self._order, args=(order, row.id), daemon=True).start()

        self.push_screen(Asked(f"{order} {words.plain(row.id)}?  y / n"), answered)

    def _order(self, order: str, identity: str) -> None:
        try:
            self.post_message(Answered(order_text(self._run_dir, order, identity)))
        except Exception as error:
            self.post_message(Answered("", error))  # the program ends with it

    def on_answered(self, message: Answered) -> None:
        self._ordering = False
        self._end_with(message.fault)
        self._say(message.text)

    def _end_with(self, fault: Exception | None) -> None:
        if fault:
            self.fault = fault
            self.exit()


def run(run_dir: str, interval_s: float, sort: str, text: str) -> None:
    """Until q; raises what a look or an order did not expect."""
    app = Top(run_dir, interval_s, sort, text)
    app.run(mouse=False)    # so that a terminal's own marking of text works
    if app.fault:
        raise app.fault
