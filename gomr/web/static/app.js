// The frame of every page, and which page is shown at which address.
import { html, render, signal, useEffect } from "./html.js";
import { ask, trouble } from "./net.js";
import { Link, place, start } from "./router.js";
import { Jobs } from "./jobs.js";
import { Job } from "./job.js";
import { System } from "./system.js";
import { Workers } from "./workers.js";

const THEMES = { auto: "Theme: system", light: "Theme: light", dark: "Theme: dark" };
const theme = signal(remembered("gomr-theme") in THEMES ? remembered("gomr-theme") : "auto");
export const session = signal({ read_only: false, levels: [] });

function remembered(name) {
  try {
    return localStorage.getItem(name) || "";
  } catch {
    return "";
  } // a browser may forbid it
}

function wear(chosen) {
  theme.value = chosen;
  if (chosen === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = chosen;
  try {
    localStorage.setItem("gomr-theme", chosen);
  } catch {
    /* then it holds for this page alone */
  }
  dispatchEvent(new Event("gomr-theme")); // canvases draw themselves again
}

function Page() {
  const { path } = place.value;
  const job = path.match(/^\/jobs\/([^/]+)(?:\/(tasks|timeline|logs)(?:\/([^/]+)\/(\d+))?)?$/);
  if (job)
    return html`<${Job}
      key=${job[1]}
      job=${job[1]}
      tab=${job[2] || ""}
      stage=${job[3]}
      index=${job[4]}
      session=${session.value}
    />`;
  if (path === "/workers") return html`<${Workers} session=${session.value} />`;
  if (path === "/system") return html`<${System} />`;
  if (path === "/" || path === "/jobs") return html`<${Jobs} />`;
  return html`<h1>Nothing is here</h1>
    <p>There is no page ${path}. <${Link} to="/">All jobs<//></p>`;
}

function App() {
  const { path } = place.value;
  useEffect(() => {
    ask("/api/session").then(
      (answer) => {
        session.value = answer;
      },
      () => {},
    );
  }, []);
  useEffect(() => {
    const name = path === "/" ? "jobs" : path.slice(1).replace(/^jobs\//, "");
    document.title = `${name} · gomr`;
  }, [path]);
  const next = { auto: "light", light: "dark", dark: "auto" }[theme.value];
  return html` <a class="skip" href="#main">To the content</a>
    <header class="top">
      <a class="brand" href="/"><img src="/static/icon.svg" alt="" />gomr</a>
      <nav aria-label="Pages">
        <${Link} to="/" current=${path === "/" || path.startsWith("/jobs")}>Jobs<//>
        <${Link} to="/workers" current=${path === "/workers"}>Workers<//>
        <${Link} to="/system" current=${path === "/system"}>System<//>
      </nav>
      <button onClick=${() => wear(next)}>${THEMES[theme.value]}</button>
    </header>
    <div role="status">
      ${trouble.value && html`<div class="banner"><strong>Not up to date.</strong> ${trouble.value}</div>`}
    </div>
    <main id="main" tabindex="-1"><${Page} /></main>`;
}

wear(theme.value);
start();
render(html`<${App} />`, document.getElementById("app"));
