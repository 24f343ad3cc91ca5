"use strict";
const at = (id) => document.getElementById(id);
const figures = ["seconds", "watching", "responses", "messages", "memory"];
const curve = [];

function said(message) {
  const line = document.createElement("li");
  const name = document.createElement("b");
  name.textContent = message.name;
  line.append(name, " ", message.text);
  at("log").append(line);
  line.scrollIntoView();
}

function draw(value) {
  curve.push(value);
  if (curve.length > 60) curve.shift();
  const low = Math.min(...curve), span = Math.max(...curve) - low || 1;
  const points = curve.map((v, i) => `${2 * i},${38 - (36 * (v - low)) / span}`);
  at("curve").setAttribute("points", points.join(" "));
}

function watch() {
  const events = new EventSource("/api/events");
  const on = (name, f) => events.addEventListener(name, (e) => f(JSON.parse(e.data)));
  events.onopen = () => { at("state").textContent = "connected"; };
  events.onerror = () => { at("state").textContent = "connecting"; };
  on("said", said);
  on("missed", (n) => said({ name: "", text: `${n} messages are missing` }));
  on("figures", (now) => {
    for (const name of figures) at(name).textContent = now[name];
    draw(now.memory);
  });
}

async function send(event) {
  event.preventDefault();
  const response = await fetch("/api/messages", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ text: at("text").value }),
  });
  const answer = await response.json();
  at("problem").textContent = response.ok ? "" : answer.detail;
  if (response.ok) at("text").value = "";
}

async function start() {
  const { name } = await (await fetch("/api/me")).json();
  at("me").textContent = name ?? "";
  at("enter").hidden = name !== null;
  at("leave").hidden = at("say").hidden = name === null;
  at("say").addEventListener("submit", send);
  watch();
}

start();
