// The one place that binds preact, its hooks and signals to templates.
import { h, render, Component } from "preact";
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { signal } from "@preact/signals";
import htm from "htm";

export const html = htm.bind(h);
export { Component, render, signal, useEffect, useLayoutEffect, useMemo, useRef, useState };
