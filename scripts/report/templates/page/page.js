"use strict";
// Runs in the head: the theme is set before anything is painted, all else waits for the document.
const root = document.documentElement;
// plotly.css has been read by now, and nothing from data: no style of theirs can take its place
const packedPlotly = getComputedStyle(root).getPropertyValue("--plotly").trim().slice(1, -1); // without quotes
const systemIsDark = matchMedia("(prefers-color-scheme: dark)");
const isPhone = matchMedia("(max-width: 40rem)");
const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : systemIsDark.matches);

// Where the browser keeps nothing for pages from disk, the switch holds for one page.
function kept(name, value) {
  try {
    if (value !== undefined) localStorage.setItem(name, value);
    return localStorage.getItem(name);
  } catch {
    return null;
  }
}
if (["light", "dark"].includes(kept("theme"))) root.dataset.theme = kept("theme");

function setUpSwitches() {
  const code = document.getElementById("code-switch");
  code?.addEventListener("click", () => {
    const shown = document.body.classList.toggle("show-code");
    code.textContent = shown ? "Hide code" : "Show code";
    code.setAttribute("aria-pressed", shown);
  });
  const theme = document.getElementById("theme-switch");
  const name = () => { theme.textContent = isDark() ? "Light" : "Dark"; };
  theme.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    kept("theme", root.dataset.theme);
    name();
    redraw();
  });
  systemIsDark.addEventListener("change", () => { name(); redraw(); });
  isPhone.addEventListener("change", redraw);
  name();
}

/* Tables: columns of numbers to the right, a click on a heading sorts, and rows can be found and taken along. */

const NUMBER = /^[<≤]?\s*([-+]?(\d[\d,]*)?\.?\d*(e[-+]?\d+)?|[-+]?inf)\s*%?$/i;
const MISSING = ["", "nan", "none", "-", "–"];
const cellText = (row, column) => (row.cells[column]?.textContent ?? "").trim().replace("\u2212", "-");
const isMissing = (text) => MISSING.includes(text.toLowerCase());
const toNumber = (text) => Number(text.replace(/[<≤,%\s]/g, "").replace(/inf/i, "Infinity"));

// Lowest named heading of each column; headings over several columns name none of them.
function headings(table) {
  const found = [];
  for (const row of table.tHead?.rows ?? []) {
    let column = 0;
    for (const cell of row.cells) {
      if (cell.colSpan === 1 && cell.textContent.trim()) found[column] = cell;
      column += cell.colSpan;
    }
  }
  return found;
}

function sortBy(table, column, heading, isNumeric) {
  const direction = heading.getAttribute("aria-sort") === "ascending" ? "descending" : "ascending";
  for (const other of table.querySelectorAll("[aria-sort]")) other.removeAttribute("aria-sort");
  heading.setAttribute("aria-sort", direction);
  const sign = direction === "ascending" ? 1 : -1;
  const compare = (a, b) => {
    const [left, right] = [cellText(a, column), cellText(b, column)];
    if (isMissing(left) || isMissing(right)) return isMissing(left) - isMissing(right); // always last
    if (!isNumeric) return sign * left.localeCompare(right, undefined, { numeric: true });
    const [x, y] = [toNumber(left), toNumber(right)];
    return x === y ? 0 : sign * (x < y ? -1 : 1);
  };
  table.tBodies[0].append(...[...table.tBodies[0].rows].sort(compare));
}

// pandas names the index in a row of its own; where the row above has room, both become one.
function mergeHeadings(head) {
  const [above, last] = [...(head?.rows ?? [])].slice(-2);
  if (!last || above.cells.length !== last.cells.length) return;
  const pairs = [...last.cells].map((cell, place) => [above.cells[place], cell]);
  if (pairs.some(([upper, lower]) => upper.colSpan > 1 || (upper.textContent.trim() && lower.textContent.trim()))) return;
  for (const [upper, lower] of pairs) {
    upper.append(...lower.childNodes);
    upper.title ||= lower.title;
  }
  last.remove();
}

// A cell that stands for several rows is repeated in each, so that rows can be sorted.
function repeatCells(rows) {
  rows.forEach((row, place) => {
    for (const cell of [...row.cells]) {
      const span = cell.rowSpan;
      cell.rowSpan = 1;
      for (const below of rows.slice(place + 1, place + span)) {
        below.insertBefore(cell.cloneNode(true), below.cells[cell.cellIndex] ?? null);
      }
    }
  });
}

// A table is called as the heading above it.
function nameOf(table) {
  const above = [...document.querySelectorAll("main :is(h1, h2, h3)")]
    .filter((heading) => heading.compareDocumentPosition(table) & Node.DOCUMENT_POSITION_FOLLOWING);
  const heading = above.at(-1)?.cloneNode(true);
  heading?.querySelector(".anchor-link")?.remove();
  return heading?.textContent.trim() ?? document.title;
}

function nameTable(table) {
  const box = table.closest(".table");
  const name = table.caption?.textContent ?? nameOf(table);
  if (!table.caption) table.createCaption().textContent = name;
  Object.assign(box, { tabIndex: 0, role: "region", ariaLabel: "Table: " + name }); // keys scroll it
  return name;
}

const FILTERED = 15; // rows, from which on a table can be searched
const shownRows = (table) => [...table.tBodies[0].rows].filter((row) => !row.hidden);

// Headings, one line, and the rows that are shown, as they stand.
function textsOf(table) {
  const body = shownRows(table).map((row) => [...row.cells].map((cell) => cell.textContent.trim()));
  const levels = [...table.tHead?.rows ?? []].map((row) =>
    [...row.cells].flatMap((cell) => Array(cell.colSpan).fill(cell.textContent.trim())));
  const width = Math.max(0, ...body.map((row) => row.length));
  const head = Array.from({ length: width }, (_, column) =>
    levels.map((level) => level[column]).filter(Boolean).join(" "));
  return [head, ...body];
}

const asTabs = (rows) => rows.map((row) => row.map((text) => text.replace(/\s+/g, " ")).join("\t")).join("\n");
const quoted = (text) => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
const asCsv = (rows) => rows.map((row) => row.map(quoted).join(",") + "\r\n").join("");

// Also where the browser has no clipboard for pages, as those that a plain server hands out.
function copyText(text) {
  const fill = (event) => {
    event.clipboardData.setData("text/plain", text);
    event.preventDefault();
  };
  document.addEventListener("copy", fill, { once: true });
  const done = document.execCommand("copy");
  document.removeEventListener("copy", fill);
  return done;
}

function saveText(text, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

function filterBox(table, said) {
  const label = document.createElement("label");
  const box = document.createElement("input");
  box.type = "search";
  label.append("Filter ", box);
  box.addEventListener("input", () => {
    const words = box.value.toLowerCase().split(/\s+/);
    const rows = [...table.tBodies[0].rows];
    for (const row of rows) {
      const texts = [...row.cells].map((cell) => cell.textContent).join(" ").toLowerCase();
      row.hidden = !words.every((word) => texts.includes(word));
    }
    said.textContent = `${shownRows(table).length} of ${rows.length} rows`;
  });
  return label;
}

function addTools(table, name) {
  const tools = document.createElement("div");
  const said = document.createElement("output"); // read out when it changes
  tools.className = "tools";
  if (table.tBodies[0].rows.length > FILTERED) tools.append(filterBox(table, said));
  const add = (words, title, action) => {
    const button = document.createElement("button");
    Object.assign(button, { type: "button", textContent: words, title });
    button.addEventListener("click", action);
    tools.append(button);
  };
  add("Copy", "The rows shown, for a spreadsheet", () => {
    said.textContent = copyText(asTabs(textsOf(table))) ? "Copied" : "This browser does not let a page copy";
  });
  const file = name.replace(/[^\p{L}\p{N}]+/gu, "_").replace(/^_|_$/g, "") + ".csv";
  add("CSV", "The rows shown, as a file", () => saveText(asCsv(textsOf(table)), file));
  tools.append(said);
  table.closest(".table").before(tools);
}

function setUpTable(table) {
  if (!table.closest(".table")) {
    const box = document.createElement("div"); // scrolls by itself where the table is wider than the page
    box.className = "table";
    table.replaceWith(box);
    box.append(table);
  }
  const rows = [...(table.tBodies[0]?.rows ?? [])];
  table.parentElement.hidden = rows.length === 0;
  if (rows.length === 0) return;
  const name = nameTable(table);
  if (rows.some((row) => [...row.cells].some((cell) => cell.colSpan > 1))) return;
  repeatCells(rows);
  mergeHeadings(table.tHead);
  const named = headings(table);
  const sortable = rows.length > 1 && named.filter(Boolean).length > 1;
  for (let column = 0; column < (rows[0]?.cells.length ?? 0); column++) {
    const texts = rows.map((row) => cellText(row, column)).filter((text) => !isMissing(text));
    const isNumeric = texts.length > 0 && texts.every((text) => NUMBER.test(text));
    const longest = Math.max(0, ...texts.map((text) => text.length));
    const kind = isNumeric ? "number" : longest > 300 ? "prose" : longest > 40 ? "long" : longest > 24 ? "text" : "short";
    for (const row of [...table.tHead?.rows ?? [], ...rows]) {
      const plain = [...row.cells].every((cell) => cell.colSpan === 1);
      if (plain) row.cells[column]?.classList.add(kind);
    }
    if (!named[column] && rows.every((row, place) => cellText(row, column) === String(place))) {
      for (const row of rows) row.cells[column].classList.add("quiet"); // row numbers
    }
    if (sortable && named[column]) addSortButton(table, column, named[column], isNumeric);
  }
  if (rows.length > 1) addTools(table, name);
  if (rows[0].cells.length > 10) table.classList.add("many"); // on paper, which cannot be measured
  for (const step of ["tight", "tighter"]) {
    const box = table.closest(".table");
    if (box.scrollWidth > box.clientWidth) table.classList.add(step);
  }
}

function addSortButton(table, column, heading, isNumeric) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "sort";
  button.title = [heading.title, "Sort"].filter(Boolean).join(" ");
  heading.removeAttribute("title");
  button.append(...heading.childNodes);
  heading.append(button);
  button.addEventListener("click", () => sortBy(table, column, heading, isNumeric));
}

/* Figures */

// Text that was compressed (gzip) and written in letters (base64).
function unpacked(packed) {
  const letters = atob(packed);
  const bytes = new Uint8Array(letters.length);
  for (let place = 0; place < letters.length; place++) bytes[place] = letters.charCodeAt(place);
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
}

// The browser runs the script only where its SHA-256 is in the page's policy, and before append() returns.
async function loadPlotly() {
  if (!packedPlotly) throw new Error("plotly.css is missing, which lies beside this page in the folder of the run");
  const script = document.createElement("script");
  script.textContent = await unpacked(packedPlotly);
  document.head.append(script);
  script.remove();
}

// Blue and red with a middle near the colour of the page, but still to be seen on it.
const DIVERGING = {
  light: ["#053061", "#4393c3", "#d5d9dd", "#d6604d", "#67001f"],
  dark: ["#a6d3f5", "#3f83bd", "#434b53", "#c4553f", "#ffb9a1"],
};

// Colours go into the template, where whatever a figure sets for itself comes first.
function applyTheme(figure) {
  const colour = (name) => getComputedStyle(root).getPropertyValue(name).trim();
  const axis = { gridcolor: colour("--grid"), linecolor: colour("--line"), zerolinecolor: colour("--line") };
  const layout = figure.layout;
  const base = layout.template?.layout ?? {};
  const ground = { paper_bgcolor: colour("--paper"), plot_bgcolor: colour("--paper") };
  const merged = { ...base, ...ground, font: { ...base.font, color: colour("--ink") } };
  merged.annotationdefaults = { ...base.annotationdefaults, bgcolor: colour("--veil"), arrowcolor: colour("--quiet") };
  merged.hoverlabel = { bgcolor: colour("--paper"), bordercolor: colour("--edge"), font: { color: colour("--ink") } };
  for (const name of ["xaxis", "yaxis"]) merged[name] = { ...base[name], ...axis };
  layout.template = { ...layout.template, layout: merged };
  replaceBlack(figure, colour("--ink"));
  const scales = Object.keys(layout).filter((key) => key.startsWith("coloraxis")).map((key) => layout[key]);
  for (const trace of figure.data) scales.push(trace, trace.marker ?? {});
  const diverging = DIVERGING[isDark() ? "dark" : "light"].map((shade, step) => [step / 4, shade]);
  for (const scale of scales) {
    if (scale.cmid !== undefined || scale.zmid !== undefined) scale.colorscale = diverging;
  }
}

// Black lines of a figure are meant to stand out, on a dark page too.
function replaceBlack(figure, ink) {
  for (const trace of figure.data) {
    for (const part of [trace.marker, trace.line, trace.marker?.line]) if (part?.color === "black") part.color = ink;
  }
}

function fitPhone(layout) {
  if (!isPhone.matches) return;
  layout.legend = { ...layout.legend, orientation: "h", x: 0, xanchor: "left", y: -0.2, yanchor: "top" };
  layout.margin = { ...layout.margin, l: 44, r: 12 };
  for (const note of layout.annotations ?? []) {
    if (note.xref !== "paper") note.font = { ...note.font, size: Math.min(note.font?.size ?? 12, 9) };
  }
}

// A figure that can be coloured and laid out in several ways shows those that are chosen in boxes above it.
const chosen = new Map(); // select boxes by place
function applyChoice(place, figure) {
  const { choices, layouts } = figure.layout.meta ?? {};
  if (!layouts) return;
  delete figure.layout.meta;
  if (!chosen.has(place)) {
    chosen.set(place, {
      layout: layouts.length > 1 ? choiceBox(place, "Lay out by", layouts) : { value: 0 },
      colour: choices.length ? choiceBox(place, "Colour by", choices) : null,
    });
  }
  const { layout, colour } = chosen.get(place);
  const { x, y } = layouts[layout.value];
  Object.assign(figure.data[0], { x, y });
  if (!colour) return;
  const { marker, hovertemplate, annotations, full, name } = choices[colour.value];
  Object.assign(figure.data[0], { marker, hovertemplate, name });
  figure.layout.annotations = annotations[layout.value];
  if (full) figure.data[0].customdata = numbers(marker.color).map((percent) => (percent * full) / 100);
}

// Values of an array of plotly's, which may be written as letters (base64); rows, where it has two axes.
const KINDS = { i1: Int8Array, u1: Uint8Array, i2: Int16Array, u2: Uint16Array, i4: Int32Array, u4: Uint32Array };
Object.assign(KINDS, { f4: Float32Array, f8: Float64Array });
function numbers(array) {
  if (!array?.bdata) return Array.from(array ?? []);
  const flat = [...new KINDS[array.dtype](Uint8Array.from(atob(array.bdata), (letter) => letter.charCodeAt(0)).buffer)];
  const width = Number(String(array.shape ?? "").split(",")[1] ?? 0);
  if (!width) return flat;
  return Array.from({ length: flat.length / width }, (_, row) => flat.slice(row * width, (row + 1) * width));
}

function choiceBox(place, said, choices) {
  const label = document.createElement("label");
  const box = document.createElement("select");
  let group;
  choices.forEach((choice, number) => {
    if (choice.group && group?.label !== choice.group) {
      group = document.createElement("optgroup");
      group.label = choice.group;
      box.append(group);
    }
    (group ?? box).append(new Option(choice.name, number));
  });
  label.className = "choice";
  label.append(`${said} `, box);
  place.before(label);
  box.addEventListener("change", () => drawOne(place));
  return box;
}

async function drawOne(place, width) {
  const figure = JSON.parse(figures.get(place));
  applyChoice(place, figure);
  applyTheme(figure);
  applyMarks(place, figure);
  fitPhone(figure.layout);
  if (width) figure.layout.width = width;
  figure.layout.uirevision = true; // zoom and hidden series outlast a change of theme
  if (!exported.has(place)) exported.set(place, exportButtons(place));
  // Plotly offers to upload figures to its makers' service; unpublished data stay here.
  const image = { filename: fileName(place), format: "svg" };
  const config = { responsive: true, displaylogo: false, showSendToCloud: false, toImageButtonOptions: image };
  await Plotly.react(place, figure.data, figure.layout, config);
  if (!marking.has(place) && figure.data.some(showsCells)) linkCells(place);
  // what a figure shows is told in words; of its parts, only the buttons are reached by keys
  for (const drawing of place.querySelectorAll(".main-svg")) drawing.setAttribute("aria-hidden", true);
}

/* Cells chosen by box or lasso in one figure are marked in all figures of the page; a double click clears. */

const marking = new Map(); // what is said of the choice, by place
const marked = new Map(); // set of cells by page; where all pages are one, each article is a page
const pageOf = (place) => place.closest("article") ?? document;
const showsCells = (trace) => trace.meta?.cells !== undefined;
const cellsOf = ({ meta: { cells }, x }) => (cells === true ? [...numbers(x).keys()] : numbers(cells));

function applyMarks(place, figure) {
  const cells = marked.get(pageOf(place));
  for (const trace of figure.data.filter(showsCells)) {
    trace.selectedpoints = cells && cellsOf(trace).flatMap((cell, point) => (cells.has(cell) ? [point] : []));
  }
}

function linkCells(place) {
  const said = document.createElement("output");
  exported.get(place).append(said);
  marking.set(place, said);
  place.on("plotly_selected", (event) => {
    if (!event?.range && !event?.lassoPoints) return; // not by the reader, but from drawing anew
    const cells = place.data.map((trace) => showsCells(trace) && cellsOf(trace));
    markCells(place, new Set(event.points.map(({ curveNumber, pointNumber }) => cells[curveNumber][pointNumber])));
  });
  for (const clears of ["plotly_deselect", "plotly_doubleclick"]) place.on(clears, () => markCells(place, undefined));
  sayMarked(place);
}

function markCells(from, cells) {
  if (!cells && !marked.get(pageOf(from))) return; // a double click that only goes back to the whole figure
  marked.set(pageOf(from), cells);
  for (const place of marking.keys()) {
    if (pageOf(place) !== pageOf(from)) continue;
    applyMarks(place, place);
    if (place !== from || !cells) place.layout.selections = []; // outlines of an earlier choice
    Plotly.redraw(place);
    sayMarked(place);
  }
}

function sayMarked(place) {
  const cells = marked.get(pageOf(place));
  marking.get(place).textContent = cells
    ? `${cells.size.toLocaleString("en")} cells chosen; a double click clears`
    : "Box or lasso chooses cells in all figures of this page that draw single cells";
}

/* What can be taken along of a figure: a picture of it as it is drawn, and the data of its traces. */

const exported = new Map(); // row of buttons by place
function exportButtons(place) {
  const row = document.createElement("p");
  row.className = "exports";
  const ways = { SVG: () => saveImage(place, "svg"), PNG: () => saveImage(place, "png"), CSV: () => saveData(place) };
  for (const [kind, save] of Object.entries(ways)) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = kind;
    button.setAttribute("aria-label", `Save as ${kind}: ${place.dataset.name || "figure"}`);
    button.addEventListener("click", save);
    row.append(button);
  }
  place.after(row);
  return row;
}

// From the names of the run, which is that of its folder, and the figure, in letters that all systems allow in files' names.
function fileName(place) {
  const run = decodeURIComponent(location.pathname).split("/").at(-2);
  const choice = chosen.get(place)?.colour?.selectedOptions[0].text;
  const said = [run, place.dataset.name || place.id, choice].filter(Boolean).join(" ");
  return said.normalize("NFKD").replace(/[^A-Za-z0-9.+-]+/g, "_").replace(/^[_.]+|_+$/g, "").slice(0, 120) || "figure";
}

function saveImage(place, format) {
  const size = { width: place.clientWidth, height: place.clientHeight, scale: format === "png" ? 3 : 1 };
  return Plotly.downloadImage(place, { format, filename: fileName(place), ...size });
}

// At the end of a page: all its figures, a file each.
function setUpExportOfAll() {
  const places = [...document.querySelectorAll(".plotly-graph-div")];
  if (places.length < 2) return;
  const row = document.createElement("p");
  const button = document.createElement("button");
  row.className = "exports";
  button.type = "button";
  button.textContent = `Save all ${places.length} figures as SVG`;
  button.addEventListener("click", async () => {
    for (const place of places) {
      if (!place.data) await drawOne(place); // of a whole report, those not seen yet
      await saveImage(place, "svg");
    }
  });
  row.append(button);
  document.querySelector("main").append(row);
}

function saveData(place) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([figureCsv(place)], { type: "text/csv" }));
  link.download = `${fileName(place)}.csv`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

function figureCsv(place) {
  const figure = JSON.parse(figures.get(place));
  applyChoice(place, figure);
  const rows = figure.data.flatMap((trace) => traceRows(trace, figure.layout));
  const names = [...new Set(rows.flatMap(Object.keys))];
  return [names, ...rows.map((row) => names.map((name) => row[name]))].map(csvLine).join("\r\n") + "\r\n";
}

// A row for each mark of a trace, or cell of a heat map: its panel, its series, and what all arrays hold of it.
const ARRAYS = ["x", "y", "text", "hovertext", "ids", "labels", "parents", "values", "customdata"];
ARRAYS.push("lowerfence", "q1", "median", "q3", "upperfence");
function traceRows(trace, layout) {
  const own = { panel: (trace.xaxis ?? "x").slice(1) || "1", series: plainText(trace.name ?? "") };
  if (trace.z) {
    const [x, y] = [numbers(trace.x), numbers(trace.y)];
    const held = trace.coloraxis && trace.customdata ? trace.customdata : trace.z; // on a scale of many panels, z is a colour
    return numbers(held).flatMap((line, row) => Array.from(line, (value, column) => (
      { ...own, x: plainText(x[column] ?? column), y: plainText(y[row] ?? row), value })));
  }
  const { marker, error_x: errorX, error_y: errorY } = trace;
  const held = Object.fromEntries(ARRAYS.map((name) => [name, trace[name]]));
  Object.assign(held, { color: marker?.color, size: marker?.size, error_x: errorX?.array, error_y: errorY?.array });
  Object.assign(held, { error_x_minus: errorX?.arrayminus, error_y_minus: errorY?.arrayminus });
  const columns = Object.entries(held)
    .filter(([, array]) => array && typeof array === "object")
    .map(([name, array]) => [named(name, trace, layout), numbers(array)]);
  const length = Math.max(0, ...columns.map(([, array]) => array.length));
  return Array.from({ length }, (_, place) => (
    { ...own, ...Object.fromEntries(columns.map(([name, array]) => [name, plainText(array[place])])) }));
}

// Name of a column: along an axis, with the axis's title.
function named(name, trace, layout) {
  if (name === "customdata") return "value";
  const axis = { x: trace.xaxis ?? "x", y: trace.yaxis ?? "y" }[name];
  const title = axis && layout[axis[0] + "axis" + axis.slice(1)]?.title;
  const said = plainText(title?.text ?? title ?? "");
  return said ? `${name} (${said})` : name;
}

// Texts of figures hold tags and escapes of plotly's.
function plainText(value) {
  if (Array.isArray(value)) return value.map(plainText).join(" ");
  if (typeof value !== "string" || !/[&<]/.test(value)) return value;
  return new DOMParser().parseFromString(value.replace(/<br>/g, " "), "text/html").body.textContent;
}

// A spreadsheet runs text that begins as a formula does: it stands behind an apostrophe.
const csvLine = (cells) => cells.map((cell) => {
  const text = String(cell ?? "");
  const shown = typeof cell === "string" && /^[=+@\t\r-]/.test(text) && Number.isNaN(Number(text)) ? `'${text}` : text;
  return /[",\r\n]/.test(shown) ? `"${shown.replaceAll('"', '""')}"` : shown;
}).join(",");

// One after the other with a pause between, so that the page can be read and scrolled meanwhile.
let plotly;
const figures = new Map(); // JSON by place: printing cannot wait for it to be unpacked
async function drawAll() {
  const places = [...document.querySelectorAll(".plotly-graph-div")];
  if (places.length === 0) return 0;
  await (plotly ??= loadPlotly());
  for (const place of places) {
    if (!figures.has(place)) figures.set(place, await unpacked(place.nextElementSibling.textContent));
    if (near && !seen.has(place)) continue;
    await drawOne(place);
    const box = place.parentElement;
    box.tabIndex = box.scrollWidth > box.clientWidth ? 0 : -1; // keys scroll it
    await new Promise((resume) => setTimeout(resume, 0));
  }
  return near ? seen.size : places.length;
}

// Where all pages of a run are one, each figure is drawn when it comes near to what is seen.
const seen = new Set();
let near;
function drawWhenSeen() {
  const onMove = (entries) => {
    for (const { target: place, isIntersecting } of entries) {
      if (!isIntersecting) continue;
      near.unobserve(place);
      seen.add(place);
      if (figures.has(place)) drawOne(place); // else drawAll comes to it
    }
  };
  near = new IntersectionObserver(onMove, { rootMargin: "50%" });
  for (const place of document.querySelectorAll(".plotly-graph-div")) near.observe(place);
}

function redraw() {
  window.figuresDrawn = window.figuresDrawn.then(drawAll);
}

// Paper is white and narrow, whatever the screen is: figures, drawn wide enough for their texts, are made smaller.
const PAPER_WIDTH = 680, DRAWN_WIDTH = 850;
function setUpPrinting() {
  let theme, closed = [];
  addEventListener("beforeprint", () => {
    theme = root.dataset.theme;
    root.dataset.theme = "light";
    closed = [...document.querySelectorAll("main details:not([open])")];
    for (const part of closed) part.open = true;
    const drawn = [window.figuresDrawn];
    for (const place of figures.keys()) {
      const width = Math.min(DRAWN_WIDTH, place.clientWidth);
      drawn.push(drawOne(place, width));
      place.style.zoom = Math.min(1, PAPER_WIDTH / width);
    }
    window.figuresDrawn = Promise.all(drawn); // what is drawn for the screen again comes after it
  });
  addEventListener("afterprint", () => {
    for (const part of closed) part.open = false;
    for (const place of figures.keys()) place.style.zoom = "";
    if (theme) root.dataset.theme = theme;
    else delete root.dataset.theme;
    redraw();
  });
}

// The contents lie over the page: they close when they have led somewhere, and with Escape.
function setUpContents() {
  const contents = document.querySelector(".contents");
  contents?.addEventListener("click", (event) => { if (event.target.closest("a")) contents.open = false; });
  contents?.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    contents.open = false;
    contents.querySelector("summary").focus();
  });
}

function start() {
  setUpSwitches();
  setUpContents();
  setUpPrinting();
  setUpExportOfAll();
  document.querySelectorAll("main table:not(.settings table)").forEach(setUpTable);
  if (document.body.classList.contains("whole")) drawWhenSeen();
  return drawAll();
}

// Resolves to the number of drawn figures: tests and printing wait for it.
window.figuresDrawn = new Promise((ready) => document.addEventListener("DOMContentLoaded", ready, { once: true }))
  .then(start)
  .catch((error) => {
    for (const place of document.querySelectorAll(".plotly-graph-div:not(.js-plotly-plot)")) {
      place.textContent = "This browser cannot draw the figure: " + error.message;
    }
    throw error;
  });
