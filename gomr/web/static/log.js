// The log of one attempt: followed while it runs, searched, filtered by level, downloaded.
import { html, useEffect, useRef, useState } from "./html.js";
import { size } from "./format.js";
import { ask } from "./net.js";
import { url } from "./router.js";

const FOLLOW = 1000,
  LINES = 5000; // milliseconds between looks; lines that are kept
const LOOKS = 8; // for the whole log of an attempt that has just ended, which its worker may still be storing
const LEVELS = {
  debug: /\bDEBUG\b/,
  info: /\bINFO\b/,
  warning: /\bWARN(ING)?\b/,
  error: /\b(ERROR|CRITICAL|FATAL|Traceback)\b|^\w+(Error|Exception)\b/,
};
const ORDER = Object.keys(LEVELS);

export function levelOf(line) {
  return [...ORDER].reverse().find((level) => LEVELS[level].test(line)) || "";
}

export function LogView({ job, stage, index, attempts, runs, current }) {
  const names = [...new Set([...attempts.map((item) => item.attempt), ...(runs && current ? [current] : [])])];
  const [chosen, choose] = useState("");
  const [follow, setFollow] = useState(runs);
  const [query, search] = useState("");
  const [level, limit] = useState("");
  const newest = names.sort((one, other) => parseInt(one, 10) - parseInt(other, 10) || one.localeCompare(other)).at(-1);
  const attempt = chosen || (runs && current) || newest || "";
  const { lines, whole, error, cut } = useLog(
    `/api/jobs/${job}/tasks/${stage}/${index}/log`,
    attempt,
    follow && runs && attempt === current,
  );
  const box = useRef(null);
  useEffect(() => {
    if (follow && runs && box.current) box.current.scrollTop = box.current.scrollHeight;
  }, [lines]);
  if (!attempt) return html`<p class="soft small">It has written nothing${runs ? " yet" : ""}.</p>`;
  const shown = lines.filter(
    (line) =>
      (!query || line.text.toLowerCase().includes(query.toLowerCase())) &&
      (!level || ORDER.indexOf(levelOf(line.text)) >= ORDER.indexOf(level)),
  );
  return html` <div class="row">
      <label
        >Attempt<select onChange=${(event) => choose(event.target.value)}>
          ${names.map((name) => html`<option key=${name} value=${name} selected=${name === attempt}>${name}</option>`)}
        </select></label
      >
      <label>Search<input type="search" value=${query} onInput=${(event) => search(event.target.value)} /></label>
      <label
        >Level<select onChange=${(event) => limit(event.target.value)}>
          <option value="">all</option>
          ${ORDER.map((name) => html`<option key=${name} value=${name}>${name}${name === "error" ? "" : " and worse"}</option>`)}
        </select></label
      >
      ${runs && html`<label><input type="checkbox" checked=${follow} onChange=${(event) => setFollow(event.target.checked)} />Follow</label>`}
      ${!runs && html`<a href=${`/api/jobs/${job}/tasks/${stage}/${index}/log/${attempt}`} download>Download</a>`}
      <span class="soft small">${shown.length} of ${lines.length} lines, ${size(whole)}</span>
    </div>
    ${error && html`<p class="note" role="alert">${error}</p>`}
    ${cut > 0 && html`<p class="soft small">The first ${size(cut)} are not shown; the download has them.</p>`}
    <pre class="log" ref=${box} tabindex="0" role="log" aria-live="off" aria-label="Log">
${shown.length ? shown.map((line) => html`<${Line} key=${line.number} line=${line} query=${query} />`) : "no line is like that"}</pre>`;
}

export function Line({ line, query }) {
  return html`<div class=${levelOf(line.text)}>
    <span class="n">${line.number}</span><${Marked} text=${line.text} query=${query} />
  </div>`;
}

// What was searched for, marked. Text is only ever a text node: it can never become markup.
export function Marked({ text, query }) {
  if (!query) return text;
  const found = [],
    low = text.toLowerCase(),
    wanted = query.toLowerCase();
  let from = 0;
  for (let at = low.indexOf(wanted); at >= 0; at = low.indexOf(wanted, from)) {
    found.push(text.slice(from, at), html`<span class="hit">${text.slice(at, at + wanted.length)}</span>`);
    from = at + wanted.length;
  }
  return [...found, text.slice(from)];
}

function useLog(path, attempt, follow) {
  const [log, keep] = useState({ lines: [], rest: "", whole: 0, cut: 0, error: null });
  const next = useRef(-1);
  useEffect(() => {
    next.current = -1;
    keep({ lines: [], rest: "", whole: 0, cut: 0, error: null });
  }, [path, attempt]);
  useEffect(() => {
    if (!attempt) return undefined;
    let left = false,
      timer = 0,
      looks = 0;
    const look = async () => {
      try {
        const answer = await ask(
          url(path, { attempt, since: next.current < 0 ? "" : next.current, follow: follow ? 1 : "" }),
        );
        if (left) return;
        if (answer.text || next.current < 0) keep((before) => added(before, answer));
        next.current = answer.next;
        looks += 1;
        if (answer.next < answer.size) timer = setTimeout(look, 0);
        else if (follow || (!answer.is_whole && looks < LOOKS)) timer = setTimeout(look, FOLLOW);
      } catch (error) {
        if (left) return;
        keep((before) => ({ ...before, error: error.message }));
        timer = setTimeout(look, 2 * FOLLOW);
      }
    };
    look();
    return () => {
      left = true;
      clearTimeout(timer);
    };
  }, [path, attempt, follow]);
  const open = log.rest ? [{ number: (log.lines.at(-1)?.number || 0) + 1, text: log.rest }] : [];
  return { ...log, lines: [...log.lines, ...open] };
}

function added(before, answer) {
  const texts = (before.rest + answer.text).split("\n"),
    rest = texts.pop();
  const first = (before.lines.at(-1)?.number || 0) + 1;
  const lines = [...before.lines, ...texts.map((text, at) => ({ number: first + at, text }))].slice(-LINES);
  return {
    lines,
    rest,
    whole: answer.size,
    cut: before.lines.length || before.rest ? before.cut : answer.start,
    error: null,
  };
}
