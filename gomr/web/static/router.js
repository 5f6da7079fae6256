// Where the page is: its path and its query, which hold all filters; links and the back button work as anywhere.
import { html, signal } from "./html.js";

export const place = signal(read());

function decoded(path) {
  try {
    return decodeURI(path);
  } catch {
    return path; // it was typed, and is no address of ours
  }
}

function read() {
  return { path: decoded(location.pathname), query: Object.fromEntries(new URLSearchParams(location.search)) };
}

export function go(to, { replace = false } = {}) {
  history[replace ? "replaceState" : "pushState"](null, "", to);
  const before = place.value.path;
  place.value = read();
  if (!replace && before !== place.value.path) {
    window.scrollTo(0, 0);
    document.querySelector("main")?.focus({ preventScroll: true });
  }
}

// Change parts of the query; empty ones are left out.
export function filter(changes, options = { replace: true }) {
  const query = Object.entries({ ...place.value.query, ...changes }).filter(
    ([, value]) => value !== "" && value !== null,
  );
  const text = new URLSearchParams(query).toString();
  go(location.pathname + (text ? `?${text}` : ""), options);
}

export function url(path, query = {}) {
  const text = new URLSearchParams(
    Object.entries(query).filter(([, value]) => value !== "" && value !== null && value !== undefined),
  ).toString();
  return path + (text ? `?${text}` : "");
}

export function Link({ to, current, children, ...rest }) {
  return html`<a href=${to} aria-current=${current ? "page" : undefined} ...${rest}>${children}</a>`;
}

export function start() {
  addEventListener("popstate", () => {
    place.value = read();
  });
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("a[href]");
    if (
      !link ||
      event.defaultPrevented ||
      event.button ||
      event.metaKey ||
      event.ctrlKey ||
      event.shiftKey ||
      event.altKey
    )
      return;
    if (
      link.origin !== location.origin ||
      link.hasAttribute("download") ||
      link.target ||
      link.pathname.startsWith("/api/") ||
      link.hash
    )
      return;
    event.preventDefault();
    go(link.pathname + link.search);
  });
}
