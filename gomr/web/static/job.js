// One job: its heading, its actions and its tabs.
import { html, useState } from "./html.js";
import { moment, seconds } from "./format.js";
import { act, useLive } from "./net.js";
import { Confirm, State, Waiting } from "./parts.js";
import { Link } from "./router.js";
import { JobLogs } from "./logs.js";
import { Overview } from "./overview.js";
import { Task } from "./task.js";
import { Tasks } from "./tasks.js";
import { Timeline } from "./timeline.js";

const ACTIONS = {
  cancel: {
    states: ["running", "paused"],
    word: "Cancel",
    question: "Cancel this job? Its finished tasks stay: a re-run goes on from them.",
    danger: true,
  },
  pause: { states: ["running"], word: "Pause" },
  resume: { states: ["paused"], word: "Resume" },
  rerun: { states: ["failed", "cancelled"], word: "Re-run" },
};

export function Job({ job, tab, stage, index, session }) {
  const { state: heard, gone } = useLive(
    `/api/stream?job=${encodeURIComponent(job)}`,
    `/api/jobs/${encodeURIComponent(job)}`,
  );
  if (gone)
    return html`<h1>${job}</h1>
      <p class="note" role="alert">${gone}. <${Link} to="/">All jobs<//></p>`;
  if (!heard)
    return html`<h1>${job}</h1>
      <${Waiting} />`;
  const base = `/jobs/${job}`;
  return html` <div class="row spread">
      <div>
        <h1>${job}</h1>
        <div class="row">
          <${State} of=${heard.state} /><span class="soft"
            >${seconds(heard.elapsed)} since ${moment(heard.created)}</span
          >
        </div>
      </div>
      ${!session.read_only && html`<${Actions} job=${job} state=${heard.state} />`}
    </div>
    <nav class="tabs" aria-label="Views of the job">
      <${Link} to=${base} current=${!tab}>Overview<//>
      <${Link} to=${`${base}/tasks`} current=${tab === "tasks" && !stage}>Tasks<//>
      <${Link} to=${`${base}/timeline`} current=${tab === "timeline"}>Timeline<//>
      <${Link} to=${`${base}/logs`} current=${tab === "logs"}>Logs<//>
      ${stage && html`<${Link} to=${`${base}/tasks/${stage}/${index}`} current>Task ${stage}/${index}<//>`}
    </nav>
    ${
      tab === "tasks" && stage
        ? html`<${Task} key=${`${stage}/${index}`} job=${job} stage=${stage} index=${index} heard=${heard} />`
        : tab === "tasks"
          ? html`<${Tasks} job=${job} heard=${heard} />`
          : tab === "timeline"
            ? html`<${Timeline} job=${job} heard=${heard} />`
            : tab === "logs"
              ? html`<${JobLogs} job=${job} session=${session} />`
              : html`<${Overview} job=${job} heard=${heard} />`
    }`;
}

function Actions({ job, state }) {
  const [asked, askFor] = useState("");
  const [said, say] = useState("");
  const run = async (name) => {
    askFor("");
    say("");
    try {
      await act(`/api/jobs/${job}/${name}`);
      say(`${ACTIONS[name].word}: done`);
    } catch (error) {
      say(error.message);
    }
  };
  return html`<div class="row">
    <span role="status" class="small">${said}</span>
    ${Object.entries(ACTIONS)
      .filter(([, action]) => action.states.includes(state))
      .map(
        ([name, action]) =>
          html` <button
            key=${name}
            class=${action.danger ? "danger" : ""}
            onClick=${() => (action.question ? askFor(name) : run(name))}
          >
            ${action.word}
          </button>`,
      )}
    ${asked && html`<${Confirm} question=${ACTIONS[asked].question} answer=${ACTIONS[asked].word} onYes=${() => run(asked)} onNo=${() => askFor("")} />`}
  </div>`;
}
