// What several pages are made of: states, stage bars, facts, paging, questions.
import { html, useEffect, useRef, useState } from "./html.js";
import { count, quantity } from "./format.js";
import { filter } from "./router.js";

const SHAPES = {
  done: "●",
  running: "▶",
  run: "▶",
  open: "▶",
  failed: "✕",
  dead: "✕",
  lost: "✕",
  damaged: "✕",
  paused: "‖",
  wait: "↻",
  postponed: "↻",
  cancelled: "⊘",
  stopped: "⊘",
  removing: "⊘",
  pending: "○",
  closed: "●",
  overtaken: "◌",
};
const WORDS = { run: "running", wait: "waits to retry", dead: "failed" };

export function State({ of }) {
  return html`<span class="state ${of}"><i aria-hidden="true">${SHAPES[of] || "○"}</i>${WORDS[of] || of}</span>`;
}

export function StageBars({ stages }) {
  return html`<div class="bars">
    ${stages.map((stage) => html`<${StageBar} key=${stage.stage} stage=${stage} />`)}
  </div>`;
}

function StageBar({ stage }) {
  const share = (value) => `${stage.tasks ? (100 * value) / stage.tasks : 0}%`;
  const said = `${stage.stage}: ${stage.done} of ${stage.tasks} done, ${stage.running} running, ${stage.failed} failed`;
  const failed = stage.failed ? ` · ${stage.failed} failed` : "";
  const shown = `${count(stage.done)}${failed} / ${stage.tasks ? count(stage.tasks) : "–"}`;
  return html`<div class="bar">
    <span>${stage.stage}</span>
    <div class="track" role="img" aria-label=${said} title=${said}>
      <span class="d" style=${{ width: share(stage.done) }}></span>
      <span class="r" style=${{ width: share(stage.running) }}></span>
      <span class="f" style=${{ width: share(stage.failed) }}></span>
    </div>
    <span class="number nowrap">${shown}</span>
  </div>`;
}

export function Facts({ of }) {
  const shown = Object.entries(of).filter(([, value]) => value !== null && value !== undefined && value !== "");
  return html`<dl class="facts">
    ${shown.map(
      ([name, value]) =>
        html`<div key=${name}>
          <dt>${name}</dt>
          <dd>${value}</dd>
        </div>`,
    )}
  </dl>`;
}

// A region that scrolls sideways can be reached, and scrolled, with the keyboard.
export function Scroll({ label, children }) {
  return html`<div class="scroll" tabindex="0" role="region" aria-label=${label}>${children}</div>`;
}

export function Pager({ first, shown, total, page, of = "tasks" }) {
  if (!total) return html`<p class="soft small">no ${of}</p>`;
  return html`<div class="row small">
    <span class="soft">${count(first + 1)} to ${count(first + shown)} of ${count(total)} ${of}</span>
    ${
      total > page &&
      html` <button disabled=${first <= 0} onClick=${() => filter({ first: Math.max(0, first - page) || "" })}>
          Previous
        </button>
        <button disabled=${first + shown >= total} onClick=${() => filter({ first: first + page })}>Next</button>`
    }
  </div>`;
}

export function Quantiles({ of, label }) {
  if (!of || !Object.keys(of).length) return html`<p class="soft small">none yet</p>`;
  return html`<${Scroll} label=${label}
    ><table>
      <thead>
        <tr>
          <th scope="col">of a task</th>
          ${["min", "25 %", "median", "75 %", "max"].map((name) => html`<th key=${name} scope="col" class="number">${name}</th>`)}
        </tr>
      </thead>
      <tbody>
        ${Object.entries(of).map(
          ([name, values]) =>
            html`<tr key=${name}>
              <th scope="row">${name.replace("_", " ")}</th>
              ${values.map((value, at) => html`<td key=${at} class="number nowrap">${quantity(name, value)}</td>`)}
            </tr>`,
        )}
      </tbody>
    </table><//
  >`;
}

// A search box that puts what is typed into the address, a moment after the last key.
export function Search({ label, name = "q", value }) {
  const [text, type] = useState(value || "");
  const timer = useRef(0);
  useEffect(() => type(value || ""), [value]);
  const change = (event) => {
    type(event.target.value);
    clearTimeout(timer.current);
    const found = event.target.value;
    timer.current = setTimeout(() => filter({ [name]: found, first: "" }), 250);
  };
  return html`<label>${label}<input type="search" value=${text} onInput=${change} /></label>`;
}

export function Choice({ label, name, value, options, clears = { first: "" } }) {
  return html`<label
    >${label}<select value=${value} onChange=${(event) => filter({ ...clears, [name]: event.target.value })}>
      ${options.map(([key, words]) => html`<option key=${key} value=${key} selected=${key === value}>${words}</option>`)}
    </select></label
  >`;
}

export function Confirm({ question, answer, onYes, onNo }) {
  const dialog = useRef(null);
  useEffect(() => {
    dialog.current.showModal();
  }, []);
  return html`<dialog ref=${dialog} aria-label=${question} onClose=${onNo}>
    <p>${question}</p>
    <div class="row">
      <button class="danger" onClick=${onYes}>${answer}</button
      ><button autofocus onClick=${() => dialog.current.close()}>Leave it</button>
    </div>
  </dialog>`;
}

export function Waiting({ error }) {
  return error ? html`<p class="note" role="alert">${error}</p>` : html`<p class="soft" role="status">loading…</p>`;
}
