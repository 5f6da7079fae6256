// Talks to the server: one-off questions, the live stream, actions.
import { signal, useEffect, useState } from "./html.js";

const AGAIN_MILLISECONDS = 2000;
export const trouble = signal(null); // what keeps the page from being up to date, in words; null for nothing

export async function ask(path) {
  const answer = await fetch(path, { headers: { accept: "application/json" } });
  const body = await answer.json().catch(() => ({ error: `the server answered ${answer.status}` }));
  if (!answer.ok) throw new Error(body.error || `the server answered ${answer.status}`);
  return body;
}

export async function act(path) {
  const answer = await fetch(path, { method: "POST", headers: { "x-gomr-action": "1" } });
  const body = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(body.error || `the server answered ${answer.status}`);
  return body;
}

// Follow a stream: returns { state, gone } and renews it as frames come; null while the first is on its way.
export function useLive(path) {
  const [heard, hear] = useState({ path, state: null, gone: null });
  useEffect(() => {
    let source = null,
      timer = 0,
      left = false;
    const open = () => {
      source = new EventSource(path);
      source.addEventListener("state", (event) => {
        trouble.value = null;
        hear({ path, state: JSON.parse(event.data), gone: null });
      });
      source.addEventListener("trouble", (event) => {
        trouble.value = `The cluster does not answer: ${JSON.parse(event.data).error}`;
      });
      source.addEventListener("gone", (event) => {
        trouble.value = null;
        hear({ path, state: null, gone: JSON.parse(event.data).error });
      });
      source.onerror = () => {
        if (left) return;
        trouble.value = "The server of this page does not answer; trying again.";
        if (source.readyState === EventSource.CLOSED) timer = setTimeout(open, AGAIN_MILLISECONDS);
      };
    };
    open();
    return () => {
      left = true;
      clearTimeout(timer);
      source.close();
    };
  }, [path]);
  return heard.path === path ? heard : { state: null, gone: null };
}

// Ask now, and again whenever `version` changes, keeping the last answer meanwhile; with `keepAny`, that of another path, too.
export function useAnswer(path, version = 0, keepAny = false) {
  const [known, keep] = useState({ path: "", answer: null, error: null });
  useEffect(() => {
    let left = false;
    ask(path).then(
      (answer) => left || keep({ path, answer, error: null }),
      (error) =>
        left ||
        keep((before) => ({
          path,
          answer: before.path === path || keepAny ? before.answer : null,
          error: error.message,
        })),
    );
    return () => {
      left = true;
    };
  }, [path, version]);
  return known.path === path || keepAny ? known : { answer: null, error: null };
}
