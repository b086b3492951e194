import { mount } from "svelte";
import App from "./App.svelte";
import { CONFIRMED } from "./lib/again.svelte";
import "./style.css";

const target = document.getElementById("app");
if (target) {
  if (location.pathname === CONFIRMED) void import("./views/Confirmed.svelte").then(({ default: Confirmed }) => mount(Confirmed, { target }));
  else mount(App, { target });
}
