// Why a job or a task failed: the user's frames, and the record.
import { html } from "./html.js";
import { Link } from "./router.js";

export function Failure({ job, error, here = false }) {
  return html`<section class="panel" aria-label="Why it failed">
    <h2>Why it failed</h2>
    <pre class="trace">${error.traceback || error.message}</pre>
    ${
      error.record !== undefined &&
      error.record !== null &&
      html`<div class="record">
        <span class="soft small">${error.record_number
            ? `record ${error.record_number} of ${error.source || "input"}`
            : `the ${error.source || "input"} was at the key`}</span>
        <pre>${error.record}</pre>
      </div>`
    }
    ${!here && error.task && html`<p><${Link} to=${`/jobs/${job}/tasks/${error.task}`}>Task ${error.task}, attempt ${error.attempt}<//> <span class="soft">on ${error.worker}</span></p>`}
  </section>`;
}
