"use strict";
const button = document.getElementById("code-switch");
button.addEventListener("click", () => {
  const shown = document.body.classList.toggle("show-code");
  button.textContent = shown ? "Hide code" : "Show code";
  button.setAttribute("aria-pressed", shown);
});

async function loadPlotly() {
  const packed = document.getElementById("plotly-js").textContent.trim();
  const bytes = Uint8Array.from(atob(packed), (letter) => letter.charCodeAt(0));
  const code = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  (0, eval)(await new Response(code).text());
}

function drawOne(place) {
  const figure = JSON.parse(place.nextElementSibling.textContent);
  // Plotly offers to upload figures to its makers' service; unpublished data stay here.
  const config = { responsive: true, displaylogo: false, showSendToCloud: false };
  return Plotly.newPlot(place, figure.data, figure.layout, config);
}

// One after the other with a pause between, so that the page can be read and scrolled meanwhile.
async function drawAll() {
  const places = [...document.querySelectorAll(".plotly-graph-div")];
  if (places.length === 0) return 0;
  await loadPlotly();
  for (const place of places) {
    await drawOne(place);
    await new Promise((resume) => setTimeout(resume, 0));
  }
  return places.length;
}

// Resolves to the number of drawn figures: tests and printing wait for it.
window.figuresDrawn = drawAll().catch((error) => {
  for (const place of document.querySelectorAll(".plotly-graph-div:not(.js-plotly-plot)")) {
    place.textContent = "This browser cannot draw the figure: " + error.message;
  }
  throw error;
});
