// What makes pages pleasanter. Everything works without it.
"use strict";

// --- The line editor: one open line that grows -----------------------------------------------------
//
// Without this file: a few blank lines, a list of products and a box to remove on each, a button for
// more. Sums are whole numbers here, as they are decimals on the server: never a floating cent.

const SCALE = 10000n; // quantities, prices and rates have four decimals

function scaled(text, editor) { // as `web/forms.py` reads it: what is refused there adds nothing here
  let plain = text.trim().replace("−", "-").replace(/^(-?)\s*(US\$|R\$|\$)?\s*/, "$1");
  if (/^-?[1-9]\d{0,2}([ \u00a0\u2009\u202f]\d{3})+([.,]\d*)?$/.test(plain)) plain = plain.replace(/\s/g, "");
  if (editor.dataset.decimal === ",") plain = plain.replace(/[.,]/g, (sign) => (sign === "," ? "." : ","));
  if (/^-?[1-9]\d{0,2}(,\d{3})+(\.\d*)?$/.test(plain)) plain = plain.replace(/,/g, "");
  const match = /^(-?)(\d*)\.?(\d{0,4})$/.exec(plain);
  if (!match || !(match[2] || match[3])) return null;
  const number = BigInt(match[2] || "0") * SCALE + BigInt(match[3].padEnd(4, "0"));
  return match[1] ? -number : number;
}

function rounded(number, by) { // half up, away from zero
  const whole = ((number < 0n ? -number : number) * 2n + by) / (by * 2n);
  return number < 0n ? -whole : whole;
}

function money(cents, editor) {
  const style = { style: "currency", currency: editor.dataset.currency };
  const format = new Intl.NumberFormat(document.documentElement.lang, style);
  return format.format(Number(cents) / 100).replace("-", "−");
}

const part = (line, name) => line.querySelector(`[data-part="${name}"]`);

function amountOf(line, editor) {
  if (line.classList.contains("is-removed")) return null;
  const quantity = part(line, "quantity").value.trim() || "1";
  const [count, price] = [scaled(quantity, editor), scaled(part(line, "unit_price").value, editor)];
  return count === null || price === null ? null : rounded(count * price, SCALE * SCALE / 100n);
}

function addUp(editor) {
  let [subtotal, taxed] = [0n, 0n]; // cents
  for (const line of editor.querySelectorAll(".line")) {
    const cents = amountOf(line, editor);
    line.querySelector("output").textContent = cents === null ? "" : money(cents, editor);
    subtotal += cents ?? 0n;
    if (part(line, "taxable").checked) taxed += cents ?? 0n;
  }
  const form = editor.closest("form");
  const typed = (form.querySelector('[name="tax_rate"]')?.value ?? "").trim().replace(/\s*%$/, "");
  const off = discountOf(form, subtotal, editor);
  if (off.cents) taxed -= rounded(off.cents * taxed, subtotal);
  const tax = rounded(taxed * (scaled(typed, editor) ?? 0n), SCALE * 100n);
  const sums = {
    subtotal: money(subtotal, editor),
    discount: money(-off.cents, editor),
    percent: off.percent,
    tax: money(tax, editor),
    total: money(subtotal - off.cents + tax, editor),
    rate: typed.trim() || "0",
  };
  form.querySelectorAll("[data-sum]").forEach((sum) => { sum.textContent = sums[sum.dataset.sum]; });
  form.querySelectorAll('[data-when="discount"]').forEach((row) => { row.hidden = !off.cents; });
}

function discountOf(form, subtotal, editor) { // as models/sums.py
  const typed = form.querySelector('[name="discount_value"]')?.value.trim() ?? "";
  const sign = typed.endsWith("%") ? "percent" : typed.includes("$") ? "amount" : null;
  const isPercent = (sign ?? form.querySelector('[name="discount_kind"]')?.value) === "percent";
  const value = scaled(typed.replace(/%$/, ""), editor);
  if (!value || value < 0n || subtotal <= 0n) return { cents: 0n, percent: "" };
  const cents = isPercent ? rounded(subtotal * value, SCALE * 100n) : rounded(value * 100n, SCALE);
  const percent = isPercent ? `${typed.replace(/\s*%$/, "")} %` : "";
  return { cents: cents < subtotal ? cents : subtotal, percent };
}

function renumber(editor) {
  const lines = [...editor.querySelectorAll(".line")];
  lines.forEach((line, at) => {
    line.setAttribute("aria-label", editor.dataset.line.replace("#", at + 1));
    showRemove(line, editor, at + 1);
  });
}

function showRemove(line, editor, number) {
  const box = part(line, "remove");
  let button = line.querySelector(".line-remove button");
  if (!button) {
    button = document.createElement("button");
    button.type = "button";
    button.className = "button plain";
    line.querySelector(".line-remove").append(button);
  }
  const words = box.checked ? editor.dataset.keep : editor.dataset.remove;
  button.setAttribute("aria-label", words.replace("#", number));
  const icons = editor.closest("form").querySelector('[name="add_rows"] use').getAttribute("href").split("#")[0];
  button.innerHTML = `<svg class="icon" aria-hidden="true"><use href="${icons}#${box.checked ? "back" : "cross"}"></use></svg>`;
}

function addLine(editor) {
  const lines = editor.querySelectorAll(".line");
  const last = lines[lines.length - 1];
  const next = last.cloneNode(true);
  const number = Math.max(...[...lines].map((line) => Number(line.dataset.number))) + 1;
  next.dataset.number = String(number);
  next.classList.remove("is-removed");
  next.querySelectorAll(".error, .choices-of-products, .line-chosen, .line-remove button").forEach((one) => one.remove());
  next.querySelectorAll("[name], [id], [for], [aria-describedby]").forEach((one) => {
    for (const name of ["name", "id", "for", "aria-describedby"]) {
      const value = one.getAttribute(name);
      if (value) one.setAttribute(name, value.replace(/lines-\d+/g, `lines-${number}`));
    }
    for (const name of ["aria-invalid", "aria-activedescendant", "aria-controls"]) one.removeAttribute(name);
    if (one.dataset.part === "taxable") {
      one.checked = isTaxed(editor);
      delete one.dataset.byHand;
    }
    else if (one.type === "checkbox") one.checked = false;
    else if ("value" in one && one.tagName !== "BUTTON") one.value = "";
  });
  next.querySelector("output").textContent = "";
  last.after(next);
  renumber(editor);
  part(next, "description").focus();
}

function isTaxed(editor) { // a new line is, where there is a tax rate
  const rate = editor.closest("form").querySelector('[name="tax_rate"]');
  if (rate) return (scaled(rate.value, editor) ?? 0n) > 0n;
  const lines = editor.querySelectorAll('[data-part="taxable"]');
  return lines[lines.length - 1].checked;
}

function removeLine(line, editor) {
  const box = part(line, "remove");
  if (part(line, "key")?.value || line.querySelector('[name$="-key"]').value) { // saved: can be kept after all
    box.checked = !box.checked;
    line.classList.toggle("is-removed", box.checked);
  } else {
    if (editor.querySelectorAll(".line").length === 1) addLine(editor);
    const near = line.nextElementSibling || line.previousElementSibling;
    line.remove();
    part(near, "description").focus();
  }
  renumber(editor);
  addUp(editor);
}

// The product search: what is typed into the box finds products; one that is chosen fills its line.

function productsLike(select, text) {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  if (!words.length) return [];
  const fits = (option) => words.every((word) => `${option.text} ${option.dataset.description}`.toLowerCase().includes(word));
  return [...select.options].filter((option) => option.value && fits(option)).slice(0, 8);
}

function choose(line, option, editor) {
  part(line, "product_id").value = option.value;
  part(line, "description").value = option.dataset.description;
  part(line, "unit_price").value = option.dataset.price;
  if (!part(line, "quantity").value) part(line, "quantity").value = "1";
  if (!part(line, "taxable").dataset.byHand) part(line, "taxable").checked = option.dataset.taxable === "yes";
  hideChoices(line);
  showChosen(line);
  addUp(editor);
  part(line, "quantity").focus();
  part(line, "quantity").select();
}

function showChosen(line) { // which product it is, under what the customer reads
  const select = part(line, "product_id");
  line.querySelector(".line-chosen")?.remove();
  if (!select.value) return;
  const chosen = document.createElement("p");
  chosen.className = "line-chosen small-text muted";
  const name = document.createElement("span");
  const option = select.selectedOptions[0];
  const untaxed = option.dataset.taxable === "no" && !part(line, "taxable").checked && isTaxed(line.closest(".lines")) ? ` · ${line.closest(".lines").dataset.untaxed}` : "";
  name.textContent = `${select.labels[0].textContent}: ${option.text.trim()}${untaxed}`;
  const button = document.createElement("button");
  button.type = "button";
  button.className = "button plain";
  button.textContent = select.options[0].text;
  button.addEventListener("click", () => {
    select.value = "";
    showChosen(line);
    part(line, "description").focus();
  });
  chosen.append(name, button);
  line.querySelector(".line-what").append(chosen);
}

function hideChoices(line) {
  line.querySelector(".choices-of-products")?.remove();
  for (const name of ["aria-activedescendant", "aria-controls"]) part(line, "description").removeAttribute(name);
}

function showChoices(line, editor) {
  hideChoices(line);
  const box = part(line, "description");
  const found = productsLike(part(line, "product_id"), box.value);
  if (!found.length) return;
  const list = document.createElement("ul");
  list.className = "choices-of-products";
  list.id = `${box.id}-products`;
  list.setAttribute("role", "listbox");
  list.setAttribute("aria-label", part(line, "product_id").labels[0].textContent);
  found.forEach((option, at) => {
    const row = document.createElement("li");
    row.id = `${list.id}-${at}`;
    row.setAttribute("role", "option");
    row.setAttribute("aria-selected", "false");
    const name = document.createElement("span");
    name.append(document.createElement("strong"));
    name.firstChild.textContent = option.text;
    if (option.dataset.description !== option.text) {
      name.append(document.createElement("small"));
      name.lastChild.textContent = option.dataset.description;
    }
    const price = document.createElement("span");
    price.className = "muted";
    price.textContent = option.dataset.shown;
    row.append(name, price);
    row.addEventListener("pointerdown", (event) => event.preventDefault()); // the box keeps the focus
    row.addEventListener("click", () => choose(line, option, editor));
    list.append(row);
  });
  list.options = found;
  box.setAttribute("aria-controls", list.id);
  box.after(list);
  document.getElementById("announcement").textContent = editor.dataset.found.replace("#", found.length);
}

function walkChoices(event, line, editor) {
  const list = line.querySelector(".choices-of-products");
  if (!list) return;
  const rows = [...list.children];
  const at = rows.findIndex((row) => row.getAttribute("aria-selected") === "true");
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (step) {
    const next = rows[(at + step + rows.length + (at < 0 && step < 0 ? 1 : 0)) % rows.length];
    rows.forEach((row) => row.setAttribute("aria-selected", String(row === next)));
    part(line, "description").setAttribute("aria-activedescendant", next.id);
    next.scrollIntoView({ block: "nearest" });
  } else if (event.key === "Enter" && at >= 0) {
    choose(line, list.options[at], editor);
  } else if (event.key === "Escape") {
    hideChoices(line);
  } else {
    return;
  }
  event.preventDefault();
}

function grow(box) { // where the browser doesn't by itself
  if (CSS.supports("field-sizing", "content")) return;
  box.style.height = "auto";
  box.style.height = `${box.scrollHeight + 2}px`;
}

function openEditor(editor) {
  editor.querySelectorAll(".line.is-spare").forEach((line) => line.remove());
  editor.querySelectorAll(".line").forEach((line) => {
    part(line, "description").setAttribute("aria-autocomplete", "list");
    showChosen(line);
    grow(part(line, "description"));
  });
  renumber(editor);
  addUp(editor);
  const lineOf = (event) => event.target.closest?.(".line");
  editor.addEventListener("input", (event) => {
    if (event.target.dataset.part === "description") {
      grow(event.target);
      if (!part(lineOf(event), "product_id").value) showChoices(lineOf(event), editor);
    }
    if (event.target.dataset.part === "taxable") { // stays when a product is chosen
      event.target.dataset.byHand = "yes";
      showChosen(lineOf(event));
    }
    addUp(editor);
  });
  editor.addEventListener("keydown", (event) => {
    if (event.target.dataset.part === "description") walkChoices(event, lineOf(event), editor);
  });
  editor.addEventListener("focusout", (event) => {
    if (event.target.dataset.part === "description") hideChoices(lineOf(event));
  });
  editor.addEventListener("click", (event) => {
    if (event.target.closest(".line-remove button")) removeLine(lineOf(event), editor);
  });
  const form = editor.closest("form");
  form.querySelectorAll('[name="tax_rate"], [name="discount_value"], [name="discount_kind"]').forEach((field) => {
    field.addEventListener("input", () => addUp(editor));
  });
  form.querySelector('[name="add_rows"]').addEventListener("click", (event) => {
    event.preventDefault();
    addLine(editor);
  });
}

document.querySelectorAll(".lines").forEach(openEditor);

// --- An invoice's terms and its day: either follows the other -------------------------------------

const terms = document.querySelector('[name="due_in"]');
if (terms) {
  const [issued, due] = ["issued_on", "due_on"].map((name) => document.querySelector(`[name="${name}"]`));
  const DAY = 86400000;
  const follow = () => {
    if (!terms.value || !issued.value) return;
    due.value = new Date(Date.parse(issued.value) + Number(terms.value) * DAY).toISOString().slice(0, 10);
  };
  terms.addEventListener("change", follow);
  issued.addEventListener("change", follow);
  due.addEventListener("change", () => {
    const days = String((Date.parse(due.value) - Date.parse(issued.value)) / DAY);
    terms.value = [...terms.options].some((option) => option.value === days) ? days : "";
  });
}

// --- Pressed twice is sent once -------------------------------------------------------------------

document.addEventListener("submit", (event) => {
  const form = event.target;
  // Not form.method: a field named "method" would stand in its place.
  if (form.getAttribute("method") !== "post" || event.defaultPrevented) return;
  if (form.dataset.sent) {
    event.preventDefault();
    return;
  }
  form.dataset.sent = "yes";
});
window.addEventListener("pageshow", () => {
  document.querySelectorAll("form[data-sent]").forEach((form) => delete form.dataset.sent);
});

// --- A form that was kept through a sign-in goes on by itself --------------------------------------

document.querySelectorAll("form[data-goes-on]").forEach((form) => form.requestSubmit(form.querySelector("[name=resumed]")));

// --- Choosing many rows -----------------------------------------------------------------------------

document.addEventListener("change", (event) => {
  const all = event.target.closest("[data-selects]");
  if (!all) return;
  document.querySelectorAll(`input[name="${all.dataset.selects}"]`).forEach((box) => {
    box.checked = all.checked;
  });
});
document.addEventListener("change", () => {
  document.querySelectorAll("[data-counts]").forEach((told) => {
    const count = document.querySelectorAll(`input[name="${told.dataset.counts}"]:checked`).length;
    told.textContent = count === 1 ? told.dataset.one : count ? told.dataset.many.replace("#", count) : "";
  });
});

// --- A text that is copied -------------------------------------------------------------------------

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copies]");
  if (!button) return;
  const field = document.getElementById(button.dataset.copies);
  field.select();
  try {
    await navigator.clipboard.writeText(field.value.trim());
  } catch {
    if (!document.execCommand("copy")) return; // it is selected: the person copies it
  }
  button.textContent = button.dataset.done;
  document.getElementById("announcement").textContent = button.dataset.done;
});

// --- Badges rest while nobody looks -----------------------------------------------------------------

document.addEventListener("htmx:beforeRequest", (event) => {
  if (document.hidden && event.target.closest("[data-live]")) event.preventDefault();
});
document.addEventListener("visibilitychange", () => {
  if (document.hidden || !window.htmx) return;
  document.querySelectorAll("[data-live]").forEach((live) => window.htmx.trigger(live, "resume"));
});

// --- A badge that got no answer asks again ----------------------------------------------------------
//
// An answer replaces the element that asked, and with it the next request. Without one (the network is
// gone, the server restarts) nothing would ask again. A refusal (4xx) is an answer.

const [FIRST_PAUSE, LONGEST_PAUSE] = [5000, 60000]; // milliseconds

function askAgain(event) {
  const live = event.target.closest?.("[data-live]");
  const status = event.detail.xhr?.status ?? 0;
  if (!live || (status >= 400 && status < 500 && status !== 429)) return;
  const missed = Number(live.dataset.missed ?? 0);
  live.dataset.missed = String(missed + 1);
  setTimeout(() => {
    if (live.isConnected) window.htmx.trigger(live, "resume");
  }, Math.min(FIRST_PAUSE * 2 ** missed, LONGEST_PAUSE));
}

for (const failure of ["responseError", "sendError", "timeout"]) {
  document.addEventListener(`htmx:${failure}`, askAgain);
}

// --- On a narrow screen the menu scrolls: where we are is in sight ---------------------------------

document.querySelectorAll(".menu [aria-current], .tabs [aria-current]").forEach((here) => {
  // Not scrollIntoView: in some browsers the Tab key would then begin here and skip what is above.
  const menu = here.closest(".menu, .tabs");
  const away = here.getBoundingClientRect().left - menu.getBoundingClientRect().left;
  menu.scrollLeft += away - (menu.clientWidth - here.offsetWidth) / 2;
});
