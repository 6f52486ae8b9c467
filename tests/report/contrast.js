// Contrast (WCAG 2.2) of what a page shows with its ground: what falls short, as [ratio, what it is].
(() => {
  const TEXT = 4.5, MARK = 3;
  const light = (colour) => colour.slice(0, 3).map((part) => part / 255)
    .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4))
    .reduce((sum, part, place) => sum + part * [0.2126, 0.7152, 0.0722][place], 0);
  const ratio = (one, other) => {
    const [low, high] = [light(one), light(other)].sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
  };
  // red, green, blue, share that is not transparent; nothing for "none" and patterns
  const numbers = (colour) => {
    const found = /^rgb/.test(colour) ? colour.match(/[\d.]+/g).map(Number) : null;
    return found && [...found, 1].slice(0, 4);
  };
  const over = (colour, ground) => colour.slice(0, 3).map((part, place) => part * colour[3] + ground[place] * (1 - colour[3]));
  const opacity = (element) => {
    let share = 1;
    for (let at = element; at; at = at.parentElement) share *= Number(getComputedStyle(at).opacity);
    return share;
  };
  const ground = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = numbers(getComputedStyle(at).backgroundColor);
      if (colour?.[3]) return colour;
    }
  };
  const paint = (element, name) => {
    const style = getComputedStyle(element);
    const colour = numbers(style[name]);
    if (!colour || (name === "stroke" && !parseFloat(style.strokeWidth))) return null;
    colour[3] *= Number(style[`${name}Opacity`]) * opacity(element);
    return colour[3] ? colour : null;
  };
  const shown = (element) => element.checkVisibility({ visibilityProperty: true }) && element.getBoundingClientRect().width;

  // of text, and of what frames buttons and boxes
  function faintText() {
    const found = [];
    for (const element of document.body.querySelectorAll("*")) {
      if (!element.checkVisibility({ visibilityProperty: true }) || element.closest("svg, .plotly-graph-div")) continue;
      const style = getComputedStyle(element);
      const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
      const least = own ? [[TEXT, style.color, element]] : [];
      const isTool = element.matches(":is(.steps, .tools, .exports, .choice) :is(button, input, select)");
      if (isTool) least.push([MARK, style.borderColor, element.parentElement]);
      if (element.matches(".sort")) least.push([MARK, getComputedStyle(element, "::after").color, element]);
      for (const [wanted, colour, on] of least) {
        const contrast = ratio(numbers(colour), ground(on));
        if (contrast < wanted) found.push([contrast, element.outerHTML.slice(0, 80)]);
      }
    }
    return found;
  }

  // Points, bars, boxes and lines; those coloured by numbers are left out, as a scale passes through the page's colour.
  const MARKS = [".points path", ".js-line", ".barlayer .point path", ".boxlayer path", ".violinlayer path"];
  MARKS.push(".errorbars path", ".legendsymbols path", ".shapelayer path", ".iciclelayer path.surface", ".annotation-arrow-g path");
  const traceOf = (element) => {
    for (let at = element; at && !at.classList.contains("main-svg"); at = at.parentNode) {
      const held = [].concat(at.__data__ ?? [])[0];
      const trace = held?.trace ?? (held?.type && held.index !== undefined ? held : null);
      if (trace) return trace;
    }
  };
  const isByNumber = ({ marker, line } = {}) => [marker, line]
    .some((part) => (part?.coloraxis || part?.colorscale) && typeof part.color === "object");
  function marksOf(figure) {
    const found = [];
    for (const element of figure.querySelectorAll(MARKS.join())) {
      if (!shown(element)) continue;
      const trace = traceOf(element);
      if (isByNumber(trace)) continue;
      const paints = [paint(element, "fill"), paint(element, "stroke")].filter(Boolean);
      if (paints.length) found.push({ paints, name: `${trace?.type} ${trace?.name.replace(/\d+/, "")}`, element });
    }
    return found;
  }
  function faintMarks() {
    const found = new Map(); // one of each kind is enough
    for (const figure of document.querySelectorAll(".js-plotly-plot")) {
      const paper = ground(figure.querySelector(".main-svg"));
      for (const { paints, name, element } of marksOf(figure)) {
        const contrast = Math.max(...paints.map((colour) => ratio(over(colour, paper), paper)));
        const said = `${figure.dataset.name}: ${name}: ${element.getAttribute("class")}`;
        if (contrast < MARK) found.set(`${said} ${paints}`, contrast);
      }
    }
    return [...found].map(([said, contrast]) => [contrast, said]);
  }

  // What a text stands on: a box of its own, a bar or a part of a tree, or else the paper; names stand on marks, too.
  const BEHIND = ["rect.bg", "path.surface", "path"];
  function groundsOf(text, paper, marks) {
    const holder = text.closest(".annotation, .slice, .point, .hovertext, .axistext");
    const box = BEHIND.map((kind) => holder?.querySelector(kind)).find(Boolean);
    const [own, around] = [text.getBoundingClientRect(), box?.getBoundingClientRect()];
    const isInside = around && own.left + own.width / 2 > around.left && own.left + own.width / 2 < around.right;
    const colour = isInside && paint(box, "fill");
    if (!colour) return [paper];
    const below = holder.matches(".annotation") ? [paper, ...marks] : [paper];
    return below.map((under) => over(colour, under));
  }
  function faintTextOfFigures() {
    const found = new Map();
    for (const figure of document.querySelectorAll(".js-plotly-plot")) {
      const paper = ground(figure.querySelector(".main-svg"));
      const marks = marksOf(figure).map(({ paints }) => over(paints[0], paper));
      for (const text of figure.querySelectorAll("svg text")) {
        const colour = paint(text, "fill");
        if (!shown(text) || !text.textContent.trim() || !colour) continue;
        const contrast = Math.min(...groundsOf(text, paper, marks).map((on) => ratio(over(colour, on), on)));
        const said = `${figure.dataset.name}: ${text.getAttribute("class")}: ${text.textContent.slice(0, 40)}`;
        if (contrast < TEXT) found.set(said, contrast);
      }
    }
    return [...found].map(([said, contrast]) => [contrast, said]);
  }

  // What a pointer would be told of the first mark of each series.
  function point() {
    for (const figure of document.querySelectorAll(".js-plotly-plot")) {
      const subplots = Object.keys(figure._fullLayout._plots ?? {});
      for (const subplot of subplots) {
        const told = figure._fullData.filter((trace) => trace.xaxis + trace.yaxis === subplot)
          .filter((trace) => trace.hoverinfo !== "skip" && ["scatter", "bar"].includes(trace.type));
        if (!told.length) continue;
        Plotly.Fx.hover(figure, told.map(({ index }) => ({ curveNumber: index, pointNumber: 0 })), subplot);
        break;
      }
    }
    return document.querySelectorAll(".hovertext").length;
  }

  // Scales whose ends are less than a quarter of the way from black to white apart.
  function equalEnds() {
    const found = [];
    for (const figure of document.querySelectorAll(".js-plotly-plot")) {
      const { _fullLayout: layout, _fullData: data } = figure;
      const axes = Object.keys(layout).filter((name) => /^coloraxis\d*$/.test(name)).map((name) => layout[name]);
      for (const { colorscale } of [...axes, ...data, ...data.map(({ marker }) => marker ?? {})]) {
        if (!colorscale) continue;
        const [low, high] = [colorscale[0][1], colorscale.at(-1)[1]].map((colour) => {
          document.body.style.outlineColor = colour; // the browser reads all ways to write it
          return numbers(getComputedStyle(document.body).outlineColor);
        });
        const apart = Math.hypot(...[0, 1, 2].map((place) => low[place] - high[place]));
        if (apart < Math.hypot(255, 255, 255) / 4) found.push([apart, figure.dataset.name]);
      }
    }
    return found;
  }

  return { faintText, faintMarks, faintTextOfFigures, equalEnds, point };
})()
