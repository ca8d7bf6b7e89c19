// Keeps the page fresh: numbers and charts out of the stream, lists by asking for them again.  Without it the page is whole.
"use strict";
(function () {
  const AGAIN_MS = 5000;      // between two lists, when nothing but rates has changed
  const HELD_MS = 15000;      // at most, while the mouse is on a button that may move
  const RETRY_MS = 10000;     // when the stream is refused, as when too many watch
  const MOST = 600;           // points, as many as the router keeps
  const NAMES = ["at", "calls", "ok", "failed", "reply", "reply95", "answer"];
  const mouse = window.matchMedia("(hover: hover)");
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  let points = NAMES.map(() => []);
  let charts = [];
  let asked = Date.now();

  function number(value) {
    if (value === null || value === undefined) return "\u2013";
    const whole = Number.isInteger(value) || value >= 100;
    return value.toLocaleString("en", { minimumFractionDigits: whole ? 0 : 1, maximumFractionDigits: whole ? 0 : 1 });
  }

  function milliseconds(value) {
    if (value === null || value === undefined) return "\u2013";
    return value >= 1000 ? (value / 1000).toFixed(1) + " s" : value.toFixed(0) + " ms";
  }

  function clock(at) {
    return new Date(at * 1000).toLocaleTimeString("en-GB");
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
    if (now.point) add(now.point);
    const last = NAMES.reduce((found, name, at) => ({ ...found, [name]: points[at][points[at].length - 1] }), {});
    document.querySelectorAll("[data-number]").forEach((place) => {
      const name = place.dataset.number;
      if (name === "slots") place.textContent = number(now.slots);
      else if (name === "down") { if (now.sums) place.textContent = number(now.sums.down + now.sums.unresolved); }
      else if (name === "reply" || name === "reply95" || name === "answer") place.textContent = milliseconds(last[name]);
      else place.textContent = number(last[name]);
    });
    redraw();
    count(now.codes);
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

  // A row that moves away below the mouse would have another one's button pressed.
  function moves(list) {
    const sorted = list.querySelector("[name=sort]").value || list.querySelector("[name=state]").value;
    return sorted && mouse.matches && list.querySelector("button:hover");
  }

  // Lists say which states and failures they show.
  function ask(now) {
    const list = document.querySelector("[data-states]"), failures = document.querySelector("[data-version]");
    if (!list && now.sums) location.reload();       // nothing was known when the page was made
    if (!list) return;
    if (now.failures !== Number(failures.dataset.version)) htmx.trigger(document.body, "failed");
    const news = now.sums && now.states !== Number(list.dataset.states);
    if (news) say("told", now.told.join(". "));
    if (moves(list) && Date.now() - asked < HELD_MS) return;
    if (news || (!document.hidden && Date.now() - asked > AGAIN_MS)) {
      asked = Date.now();
      htmx.trigger(document.body, "fresh");
    }
  }

  function follow() {
    const source = new EventSource("/page/stream");
    source.addEventListener("history", (event) => {
      points = NAMES.map(() => []);
      add(JSON.parse(event.data));
      redraw();
    });
    source.addEventListener("now", (event) => show(JSON.parse(event.data)));
    source.addEventListener("error", () => {
      say("trouble", "The router's page is not reached: numbers stand still.");
      if (source.readyState !== EventSource.CLOSED) return;
      htmx.trigger(document.body, "fresh");     // leads to where one signs in, when that is why
      setTimeout(follow, RETRY_MS);
    });
  }

  function start() {
    draw();
    follow();
    dark.addEventListener("change", draw);
    window.addEventListener("resize", fit);
  }

  requestAnimationFrame(() => setTimeout(start));     // what the server sent is to be seen first
})();
