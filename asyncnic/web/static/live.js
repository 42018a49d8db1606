// The live page: takes the service's numbers once a second and shows what changed since the last time.
// The numbers are those of /api/v1/stats; rates are differences over the service's own clock, so a late event does not lie.

import { Flow, short } from "./flow.js";
import { Knobs } from "./knobs.js";
import { Plot } from "./plot.js";

const STAGES = ["kernel", "card", "driver", "queue"];
const ROWS = ["offered", "delivered", ...STAGES, "filtered", "in_flight"];
const KEPT = 300;

const $ = (id) => document.getElementById(id);
const narrow = matchMedia("(max-width: 760px)");
const state = { last: null, rows: [], flow: null, paused: false, rates: null };

const knobs = new Knobs($("knobs"), $("knobs-note"), $("knobs-answer"));
knobs.load().then(show);
const plots = {
  frames: new Plot($("frames-plot"), $("frames-key"), [
    { name: "delivered", color: "delivered", stacked: true, of: (row) => row.delivered },
    ...STAGES.map((stage) => ({ name: stage, color: stage, stacked: true, of: (row) => row[stage] })),
    { name: "filtered", color: "filtered", stacked: true, of: (row) => row.filtered },
    { name: "offered", color: "offered", dashed: true, of: (row) => row.offered },
  ], short),
  burst: new Plot($("burst-plot"), $("burst-key"), [
    { name: "mean", color: "delivered", of: (row) => row.burst ?? null },
    { name: "rx_budget", color: "kernel", dashed: true, of: (row) => row.budget ?? null },
  ], short),
  time: new Plot($("time-plot"), $("time-key"), [
    { name: "delivery", color: "delivered", of: (row) => row.delivery ?? null },
    { name: "loop lag", color: "card", of: (row) => row.lag ?? null },
  ], short),
};

// Every frame count of the ledger, flat.
function flat(stats) {
  return {
    offered: stats.offered, delivered: stats.delivered, filtered: stats.filtered, in_flight: stats.in_flight,
    ...stats.dropped, transmitted: stats.transmitted_frames,
  };
}

function mean(now, before) {
  const count = total(now.counts) - total(before.counts);
  return count > 0 ? (now.sum - before.sum) / count : null;
}

function total(counts) {
  return counts.reduce((sum, count) => sum + count, 0);
}

// Upper bound of the bucket that holds the 99th percentile of what was observed in between, in milliseconds.
function within(now, before) {
  const counts = now.counts.map((count, index) => count - before.counts[index]);
  const wanted = 0.99 * total(counts);
  if (wanted <= 0) return null;
  let below = 0;
  const index = counts.findIndex((count) => (below += count) >= wanted);
  return 1000 * now.bounds[Math.min(index, now.bounds.length - 1)];
}

function perSecond(now, before, seconds) {
  const rates = {};
  for (const name of Object.keys(now)) rates[name] = Math.max(0, now[name] - before[name]) / seconds;
  return rates;
}

function take(stats) {
  const before = state.last;
  state.last = stats;
  const seconds = before ? stats.uptime_seconds - before.uptime_seconds : 0;
  if (before && seconds <= 0) state.rows = [];
  if (seconds > 0) {
    state.rates = perSecond(flat(stats), flat(before), seconds);
    state.laneRates = {};
    for (const [name, lane] of Object.entries(stats.lanes)) {
      const earlier = laneCounts(before.lanes[name] ?? lane);
      state.laneRates[name] = perSecond(laneCounts(lane), earlier, seconds);
    }
    state.rows.push({
      ...state.rates,
      at: stats.uptime_seconds,
      burst: mean(stats.burst_frames, before.burst_frames),
      budget: stats.rx_budget_in_force, // under "auto" the setting is no number
      delivery: within(stats.delivery_seconds, before.delivery_seconds),
      lag: within(stats.loop_lag_seconds, before.loop_lag_seconds),
    });
    if (state.rows.length > KEPT) state.rows.shift();
  }
  if (!state.paused) show();
}

// What the service remembers from before this page was opened: [uptime, counts], oldest first.
function remember(points) {
  state.rows = points.slice(1).map(([at, counts], index) => {
    const [earlier, before] = points[index];
    return { ...perSecond(counts, before, Math.max(at - earlier, 0.001)), at };
  });
}

function show() {
  const stats = state.last;
  if (!stats) return;
  showHeader(stats);
  showFlow(stats);
  showLedger(stats);
  showLanes(stats);
  knobs.update(stats.settings);
  for (const plot of Object.values(plots)) plot.draw(state.rows, stats.uptime_seconds);
}

function showHeader(stats) {
  const { device, settings, build } = stats;
  document.title = `${device.name}: asyncnic`;
  $("device").textContent = device.name;
  const own = Object.entries(stats.addresses).map(([at, state]) => (state === "preferred" ? at : `${at} (${state})`));
  const facts = [`${device.chip} on ${device.backend}`, device.mac, `${settings.delivery} delivery`, settings.stack, ...own];
  $("chip").textContent = facts.join(", ");
  $("build").textContent = `asyncnic ${build.version ?? ""}`;
  setStatus(stats.ready ? "ready" : "trouble", stats.ready ? `ready, up ${age(stats.uptime_seconds)}` : stats.not_ready);
}

function setStatus(kind, text) {
  const status = $("status");
  status.dataset.state = kind;
  if (status.textContent !== text) status.textContent = text;
}

function age(seconds) {
  if (seconds < 120) return `${Math.floor(seconds)} s`;
  if (seconds < 7200) return `${Math.floor(seconds / 60)} min`;
  return `${Math.floor(seconds / 3600)} h`;
}

function showFlow(stats) {
  const queued = stats.settings.delivery === "queue";
  if (state.flow?.shape !== `${narrow.matches}${queued}`) state.flow = new Flow($("flow"), narrow.matches, queued);
  const counts = flat(stats);
  const rates = state.rates ?? perSecond(counts, counts, 1);
  // An arrow carries what ends beyond it: counted terms, summed from the right.
  const arrows = { transmitted: rates.transmitted, "to stack": rates.delivered };
  arrows["to queue"] = arrows["to stack"] + rates.queue;
  arrows["to driver"] = (queued ? arrows["to queue"] : arrows["to stack"]) + rates.driver;
  arrows["to card"] = arrows["to driver"] + rates.card + rates.filtered;
  const { card, host } = stats.ring_descriptors.rx;
  const notes = {
    wire: `${short(rates.offered)}/s offered`,
    card: stats.device.up ? stats.device.chip : "LOST",
    driver: `${host} of ${card + host} filled`,
    queue: `${stats.queue.frames} of ${stats.queue.limit}`,
    stack: stats.settings.stack,
    transmitted: "transmitted",
  };
  for (const name of [...STAGES, "filtered"]) {
    arrows[`drop ${name}`] = rates[name];
    notes[`drop ${name}`] = `${name === "card" ? "missed" : name}: ${short(counts[name])}`;
  }
  state.flow.update(arrows, notes, { driver: [host, card + host], queue: [stats.queue.frames, stats.queue.limit] });
}

function showLedger(stats) {
  const counts = flat(stats);
  const body = $("ledger").tBodies[0];
  if (!body.rows.length) {
    for (const name of ROWS) {
      const row = body.insertRow();
      row.id = `ledger-${name}`;
      const head = document.createElement("th");
      head.scope = "row";
      head.className = `c-${name === "in_flight" ? "soft" : name}`;
      const words = document.createElement("span");
      words.textContent = STAGES.includes(name) ? `dropped: ${name}` : name.replace("_", " ");
      head.append(document.createElement("i"), words);
      row.append(head);
      for (let column = 0; column < 3; column++) row.insertCell();
    }
  }
  for (const name of ROWS) {
    const [, rate, sum, share] = $(`ledger-${name}`).cells;
    rate.textContent = name === "in_flight" ? "" : short(state.rates?.[name] ?? 0);
    sum.textContent = counts[name].toLocaleString("en");
    share.textContent = counts.offered ? `${((100 * counts[name]) / counts.offered).toFixed(1)} %` : "";
  }
  const missing = counts.offered - counts.delivered - counts.filtered - counts.in_flight
    - STAGES.reduce((sum, stage) => sum + counts[stage], 0);
  $("law").textContent = missing === 0 ? "Every frame is accounted for." : `${missing} frames are not accounted for.`;
  $("law").className = missing === 0 ? "" : "bad";
}

// Lanes are few, named by the configuration, and there is nothing to tell of a single one.
function showLanes(stats) {
  const lanes = Object.entries(stats.lanes);
  $("lanes").hidden = lanes.length < 2;
  const rows = lanes.map(([name, lane]) => {
    const rate = state.laneRates?.[name];
    const row = document.createElement("tr");
    const head = document.createElement("th");
    head.scope = "row";
    head.textContent = name;
    row.append(head);
    for (const value of [rate?.offered, rate?.delivered, rate?.dropped, lane.waiting]) {
      row.insertCell().textContent = value === undefined || value === null ? "" : short(value);
    }
    return row;
  });
  $("lanes").tBodies[0].replaceChildren(...rows);
}

function laneCounts({ offered, delivered, dropped }) {
  return { offered, delivered, dropped: STAGES.reduce((sum, stage) => sum + dropped[stage], 0) };
}

function connect() {
  const source = new EventSource("api/v1/events");
  source.addEventListener("history", (event) => remember(JSON.parse(event.data)));
  source.addEventListener("message", (event) => take(JSON.parse(event.data)));
  source.addEventListener("error", () => {
    setStatus("trouble", "no answer, trying again");
    // A refusal (wrong password, too many pages) ends an EventSource for good; a broken connection does not.
    if (source.readyState === EventSource.CLOSED) setTimeout(connect, 3000);
  });
}

function pause() {
  state.paused = !state.paused;
  $("pause").textContent = state.paused ? "Go on" : "Pause";
  $("pause").setAttribute("aria-pressed", state.paused);
  if (!state.paused) show();
}

$("pause").addEventListener("click", pause);
narrow.addEventListener("change", show);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", show);
addEventListener("resize", show);
addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey || event.target.matches("input, select")) return;
  if (event.key === "p") pause();
  else if (event.key === "k") knobs.focus();
  else return;
  event.preventDefault();
});
connect();
