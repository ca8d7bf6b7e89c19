// Keeps the page fresh: numbers and charts out of the stream, lists by asking for them again.  Without it the page is whole.
"use strict";
(function () {
  const AGAIN_MS = 5000;      // between two lists, when nothing but rates has changed
  const RETRY_MS = 10000;     // when the stream is refused, as when too many watch
  const CLOCKS = 30;          // looks at the router's clock that are kept: the one that came soonest counts
  const MOST = 600;           // points, as many as the router keeps
  const NAMES = ["at", "calls", "ok", "failed", "reply", "reply95", "answer"];
  const mouse = window.matchMedia("(hover: hover)");
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  let points = NAMES.map(() => []);
  let charts = [];
  let asked = Date.now();
  let source = null, later = 0;
  let clocks = [], begins = true;     // the router's clock less ours, in seconds; and whether the stream begins anew
  let focused = "";

  function number(value) {
    if (value === null || value === undefined) return "\u2013";
    const whole = Number.isInteger(value) || value >= 100;
    return value.toLocaleString("en", { minimumFractionDigits: whole ? 0 : 1, maximumFractionDigits: whole ? 0 : 1 });
  }

  function milliseconds(value) {
    if (value === null || value === undefined) return "\u2013";
    return value >= 1000 ? (value / 1000).toFixed(1) + " s" : value.toFixed(0) + " ms";
  }

  // Of the router's machine, as all times of the page.
  function clock(at) {
    const place = document.querySelector("[data-offset]"), offset = place ? Number(place.dataset.offset) : 0;
    return new Date((at + offset) * 1000).toISOString().slice(11, 19);
  }

  function say(id, text) {
    const place = document.getElementById(id);
    if (place && place.textContent !== text) place.textContent = text;
  }

  // ------------------------------------------------------------ charts

  function color(name) {
    return getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();
  }

  function line(label, name, dash) {
    return { label: label, stroke: color(name), width: 1.5, dash: dash, points: { show: false } };
  }

  function chart(id, series, columns) {
    const figure = document.getElementById(id);
    const axis = { stroke: color("dim"), grid: { stroke: color("grid"), width: 1 }, ticks: { stroke: color("grid"), width: 1 } };
    const times = { ...axis, values: (self, ticks) => ticks.map(clock) };
    const plot = new uPlot({
      width: Math.max(figure.clientWidth, 200), height: 180, series: [{ value: (self, at) => (at === null ? "\u2013" : clock(at)) }].concat(series), axes: [times, axis],
      scales: { x: { range: (self, low, high) => [(high || Date.now() / 1000) - MOST, high || Date.now() / 1000] }, y: { range: (self, low, high) => [0, Math.max(1.1 * (high || 0), 1)] } }, cursor: { drag: { x: false, y: false } },
    }, columns.map((at) => points[at]), figure);
    return { plot: plot, figure: figure, columns: columns };
  }

  function draw() {
    charts.forEach((one) => one.plot.destroy());
    charts = [
      chart("chart-calls", [line("calls", "calls"), line("answered", "answered"), line("failed", "failed", [4, 3])], [0, 1, 2, 3]),
      chart("chart-times", [line("reply", "calls"), line("reply 95 %", "trying", [4, 3]), line("answer", "answered")], [0, 4, 5, 6]),
    ];
  }

  function redraw() {
    charts.forEach((one) => one.plot.setData(one.columns.map((at) => points[at])));
  }

  function fit() {
    charts.forEach((one) => one.plot.setSize({ width: Math.max(one.figure.clientWidth, 200), height: 180 }));
  }

  // ------------------------------------------------------------ what comes

  function add(columns) {
    NAMES.forEach((name, at) => {
      points[at] = points[at].concat(columns[name]).slice(-MOST);
    });
  }

  function show(now) {
    say("trouble", now.trouble);
    if (begins) clocks = [];
    begins = false;
    clocks = clocks.concat(now.clock - performance.now() / 1000).slice(-CLOCKS);
    if (now.point) add(now.point);
    const last = NAMES.reduce((found, name, at) => ({ ...found, [name]: points[at][points[at].length - 1] }), {});
    document.querySelectorAll("[data-number]").forEach((place) => {
      const name = place.dataset.number;
      if (name === "slots") place.textContent = number(now.slots);
      else if (name === "down") { if (now.sums) place.textContent = number(now.sums.out); }
      else if (name === "reply" || name === "reply95" || name === "answer") place.textContent = milliseconds(last[name]);
      else place.textContent = number(last[name]);
    });
    redraw();
    if (!held()) count(now.codes);      // it may grow, and stands above the list
    ask(now);
  }

  function count(codes) {
    const rows = codes.sort((one, other) => other[1] - one[1]).map(([code, times]) => {
      const row = document.createElement("tr"), left = document.createElement("td"), right = document.createElement("td");
      left.textContent = code;
      right.textContent = number(times);
      right.className = "right";
      row.append(left, right);
      return row;
    });
    if (rows.length) document.getElementById("codes").replaceChildren(...rows);
  }

  // What moves or changes below the mouse or the focus would have another order given.
  function held() {
    return document.querySelector(mouse.matches ? "#destinations button:hover, #destinations button:focus" : "#destinations button:focus");
  }

  function waits(words) {
    say("waits", words);
  }

  // Lists say which states and failures they show.
  function ask(now) {
    const list = document.querySelector("[data-states]"), failures = document.querySelector("[data-version]");
    if (!list && now.sums) location.reload();       // nothing was known when the page was made
    if (!list) return;
    if (now.failures !== Number(failures.dataset.version)) htmx.trigger(document.body, "failed");
    const news = now.sums && now.states !== Number(list.dataset.states);
    if (news) say("told", now.told.join(". "));
    if (!news && Date.now() - asked <= AGAIN_MS) return;
    if (held()) {
      waits("The list stands still while you are on one of its buttons.");
      return;
    }
    asked = Date.now();
    htmx.trigger(document.body, "stale");
  }

  // Only while somebody sees it: a browser has six connections to a place, for all of its tabs together.
  function follow() {
    clearTimeout(later);
    if (source || document.hidden) return;
    source = new EventSource("/page/stream");
    source.addEventListener("history", (event) => {
      begins = true;
      points = NAMES.map(() => []);
      add(JSON.parse(event.data));
      redraw();
    });
    source.addEventListener("now", (event) => show(JSON.parse(event.data)));
    source.addEventListener("error", () => {
      say("trouble", "The router's page is not reached: numbers stand still.");
      if (source.readyState !== EventSource.CLOSED) return;
      source = null;
      htmx.trigger(document.body, "stale");     // leads to where one signs in, when that is why
      later = setTimeout(follow, RETRY_MS);
    });
  }

  function leave() {
    clearTimeout(later);
    if (source) source.close();
    source = null;
  }

  // ------------------------------------------------------------ orders, and lists that come

  const LOST = "It is not known whether it is done; after 15 s it is done no more. Look at the list.";

  // The router's clock at a moment of ours, as early as it can have been: of the stream, else of the page.
  function routers(moment) {
    const begun = performance.getEntriesByType("navigation")[0], drawn = document.querySelector("#order [name=drawn]");
    const known = clocks.length ? Math.max(...clocks) : Number(drawn.value) - ((begun && begun.responseStart) || performance.now()) / 1000;
    return known + moment / 1000;
  }

  function said(words, bad) {
    const line = document.createElement("p");
    line.textContent = words;
    if (bad) line.className = "bad";
    document.getElementById("said").replaceChildren(line);
  }

  function isOrder(event) {
    return event.detail.elt && event.detail.elt.id === "order";
  }

  function on(name, handle) {
    document.body.addEventListener("htmx:" + name, handle);
  }

  // What an order brings beside: when the button was pressed, and what makes this press one.
  function press(event) {
    if (!isOrder(event)) return;
    const cause = event.detail.triggeringEvent, random = crypto.getRandomValues(new Uint32Array(4));
    event.detail.parameters.pressed = routers(cause ? cause.timeStamp : performance.now()).toFixed(3);
    event.detail.parameters.once = Array.from(random, (one) => one.toString(16).padStart(8, "0")).join("");
    said("Ordering \u2026");
  }

  function lost(event) {
    if (!isOrder(event)) waits("The list is not renewed: no answer came.");
    else said((event.type === "htmx:timeout" ? "No answer came within 20 s. " : "No answer came. ") + LOST, true);
  }

  function arrives(event) {
    const detail = event.detail, cause = detail.requestConfig.triggeringEvent;
    if (detail.target.id === "said") return;
    if (detail.isError) {
      detail.shouldSwap = false;
      waits("The list is not renewed: " + new DOMParser().parseFromString(detail.serverResponse, "text/html").body.textContent.trim());
    } else if (detail.target.id === "destinations") {
      if (cause && cause.type === "stale" && held()) detail.shouldSwap = false;
      else waits("");
      focused = document.activeElement ? document.activeElement.id : "";
    }
  }

  // Whose button cannot be pressed any more stands at the name of its row, not at the button that takes it back.
  function settled() {
    const button = focused && document.getElementById(focused);
    if (button && button.disabled) document.getElementById(focused.replace(/^[a-z]+/, "row")).focus();
    focused = "";
  }

  function watchRequests() {
    on("configRequest", press);
    on("timeout", lost);
    on("sendError", lost);
    on("beforeSwap", arrives);
    on("afterSettle", settled);
    on("afterRequest", (event) => {
      if (isOrder(event) && !event.detail.successful) htmx.trigger(document.body, "fresh");
    });
  }

  function start() {
    draw();
    follow();
    document.addEventListener("visibilitychange", () => (document.hidden ? leave() : follow()));
    window.addEventListener("pagehide", leave);
    window.addEventListener("pageshow", follow);
    dark.addEventListener("change", draw);
    window.addEventListener("resize", fit);
  }

  watchRequests();
  requestAnimationFrame(() => setTimeout(start));     // what the server sent is to be seen first
})();
