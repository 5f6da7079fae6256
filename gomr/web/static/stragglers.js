// The tasks of a stage that took far longer than the others, by name.
import { html } from "./html.js";
import { seconds } from "./format.js";
import { Link } from "./router.js";

export function Stragglers({ job, stage, of }) {
  if (!of.length) return html`<p class="soft small">No task takes more than three times the median.</p>`;
  return html`<h3>Stragglers</h3>
    <ul class="row small">
      ${of.map((task) => {
        const took = ` ${seconds(task.seconds)}, ${task.times}× the median`;
        const to = `/jobs/${job}/tasks/${stage}/${task.index}`;
        return html`<li key=${task.index}><${Link} to=${to}>${stage}/${task.index}<//>${took}</li>`;
      })}
    </ul>`;
}
