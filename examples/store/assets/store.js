"use strict";
const at = (id) => document.getElementById(id);
const money = (cents) => (cents / 100).toFixed(2);
const rows = new Map();
let session = { account: null, csrf: "" };

async function ask(method, path, body, fields = {}) {
  const headers = { "Content-Type": "application/json", "X-CSRF-Token": session.csrf, ...fields };
  const response = await fetch(path, { method, headers, body: body && JSON.stringify(body) });
  const answer = response.status === 204 ? null : await response.json();
  if (!response.ok) {
    const { status } = response;
    throw Object.assign(new Error(answer.detail ?? answer.title), { status });
  }
  return answer;
}

// Shows why an action has failed, until the next one.
const attempt = (action) => async (event) => {
  event.preventDefault();
  at("problem").textContent = "";
  try {
    await action(event);
  } catch (error) {
    at("problem").textContent = error.message;
  }
};

async function show(now) {
  session = now;
  const known = session.account !== null;
  at("account").textContent = session.account ?? "";
  at("enter").hidden = known;
  at("leave").hidden = at("mine").hidden = !known;
  for (const { order } of rows.values()) order.disabled = !known;
  if (known) await showOrders();
}

async function showOrders() {
  const lines = (await ask("GET", "/api/orders")).map((order) => {
    const line = document.createElement("li");
    const state = order.confirmed ? "confirmed" : "placed";
    line.textContent = `${order.id}: ${money(order.total)}, ${state}`;
    return line;
  });
  at("orders").replaceChildren(...lines);
}

// The keys of orders whose outcome isn't known, by product.
const keys = new Map();

function newKey() {
  const numbers = crypto.getRandomValues(new Uint32Array(4));
  return Array.from(numbers, (n) => n.toString(16).padStart(8, "0")).join("");
}

// An order has one key for all its attempts: if a machine fails before it has answered, the next
// one gets the same order, and places it unless the first one has. Without an answer to the last
// attempt the order may exist, so that the next click continues it.
async function placeOrder(product) {
  if (!keys.has(product)) keys.set(product, newKey());
  const fields = { "Idempotency-Key": keys.get(product) };
  const order = { lines: [{ product, quantity: 1 }] };
  for (let seconds = 1; ; seconds *= 2) {
    try {
      await ask("POST", "/api/orders", order, fields);
      break;
    } catch (error) {
      const lost = error instanceof TypeError || error instanceof SyntaxError;
      // By these no attempt has placed it.
      if ([400, 409, 422].includes(error.status)) keys.delete(product);
      if (seconds > 16 || !(lost || [502, 503, 504].includes(error.status))) throw error;
      await new Promise((resume) => setTimeout(resume, 1000 * seconds));
    }
  }
  keys.delete(product);
  return showOrders();
}

function row(product) {
  const line = at("products").insertRow();
  const [name, price, stock, last] = [0, 1, 2, 3].map(() => line.insertCell());
  const order = document.createElement("button");
  order.textContent = "order";
  order.disabled = session.account === null;
  order.addEventListener("click", attempt(async () => {
    order.disabled = true;
    try {
      await placeOrder(product.id);
    } finally {
      order.disabled = session.account === null;
    }
  }));
  last.append(order);
  name.textContent = product.name;
  return { price, stock, order };
}

function watch() {
  const events = new EventSource("/api/products/events");
  events.onopen = () => { at("state").textContent = "live"; };
  events.onerror = () => { at("state").textContent = "connecting"; };
  events.addEventListener("products", (event) => {
    for (const product of JSON.parse(event.data)) {
      if (!rows.has(product.id)) rows.set(product.id, row(product));
      rows.get(product.id).price.textContent = money(product.price);
      rows.get(product.id).stock.textContent = product.stock;
    }
  });
}

at("enter").addEventListener("submit", attempt(async (event) => {
  const credentials = { name: at("name").value, password: at("password").value };
  await show(await ask("POST", event.submitter.value, credentials));
}));
at("leave").addEventListener("submit", attempt(async () => {
  await ask("DELETE", "/api/session");
  await show(await ask("GET", "/api/session"));
}));
watch();
attempt(async () => show(await ask("GET", "/api/session")))(new Event("start"));
