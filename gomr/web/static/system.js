// What the cluster stands on: coordinator, storage, log sinks, plugins.
import { html } from "./html.js";
import { count, seconds, size } from "./format.js";
import { useAnswer } from "./net.js";
import { Facts, Scroll, State, Waiting } from "./parts.js";

export function System() {
  const { answer, error } = useAnswer("/api/system");
  if (!answer)
    return html`<h1>System</h1>
      <${Waiting} error=${error} />`;
  return html`<h1>System</h1>
    <p class="soft">gomr ${answer.version}; read every 10 seconds at most</p>
    <div class="grid">
      ${answer.parts.map(
        (part, at) =>
          html`<section class="panel" key=${at}>
            <div class="row spread">
              <h2>${part.part}</h2>
              ${part.error ? html`<${State} of="failed" />` : html`<span class="state done"><i aria-hidden="true">●</i>answers</span>`}
            </div>
            ${part.error && html`<p class="note" role="alert">${part.error}</p>`}
            <${Facts}
              of=${{
                url: html`<span class="mono">${part.url}</span>`,
                "set by": part.origin,
                latency: part.seconds === undefined ? null : seconds(part.seconds),
                keys: part.keys === undefined ? null : count(part.keys),
                objects:
                  part.objects === undefined ? null : `${part.is_partial ? "at least " : ""}${count(part.objects)}`,
                size: part.bytes === undefined ? null : `${part.is_partial ? "at least " : ""}${size(part.bytes)}`,
                "gives events back": part.reads === undefined ? null : part.reads ? "yes" : "no",
              }}
            />
            ${
              part.requests &&
              html`<h3>Requests of this page</h3>
                <${Facts}
                  of=${Object.fromEntries(Object.entries(part.requests).map(([name, value]) => [name.replace("_", " "), name.endsWith("bytes") ? size(value) : count(value)]))}
                />`
            }
          </section>`,
      )}
    </div>
    <section class="panel">
      <h2>Plugins</h2>
      <${Scroll} label="Table of plugins"
        ><table>
          <thead>
            <tr>
              <th scope="col">Plugin</th>
              <th scope="col">Version</th>
              <th scope="col">Hooks</th>
              <th scope="col">URL schemes</th>
              <th scope="col">From</th>
            </tr>
          </thead>
          <tbody>
            ${answer.plugins.map(
              (plugin) =>
                html`<tr key=${plugin.name}>
                  <td><strong>${plugin.name}</strong></td>
                  <td>${plugin.version || "built in"}</td>
                  <td class="mono">${plugin.hooks.join(" ")}</td>
                  <td class="mono">${plugin.schemes.join(" ") || "–"}</td>
                  <td class="mono small">${plugin.path}</td>
                </tr>`,
            )}
          </tbody>
        </table><//
      >
    </section>`;
}
