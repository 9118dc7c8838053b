// What makes pages pleasanter. Everything works without it.
"use strict";

// --- The line editor: a chosen product fills in its line; lines are added on the spot -----------

function fillLine(line, option) {
  const put = (name, value) => {
    const input = line.querySelector(`[data-part="${name}"]`);
    if (input) input.value = value;
  };
  put("description", option.dataset.description || "");
  put("unit_price", option.dataset.price || "");
  const quantity = line.querySelector('[data-part="quantity"]');
  if (quantity && !quantity.value) quantity.value = "1";
  const taxable = line.querySelector('[data-part="taxable"]');
  if (taxable) taxable.checked = option.dataset.taxable === "yes";
}

document.addEventListener("change", (event) => {
  const line = event.target.closest(".line");
  if (!line) return;
  if (event.target.dataset.part === "product_id") {
    const option = event.target.selectedOptions[0];
    if (option && option.value) fillLine(line, option);
  }
  if (event.target.dataset.part === "remove") {
    line.classList.toggle("is-removed", event.target.checked);
  }
});

document.addEventListener("click", (event) => {
  const button = event.target.closest('[name="add_rows"]');
  if (!button) return;
  const lines = document.querySelectorAll(".line");
  const last = lines[lines.length - 1];
  if (!last) return;
  event.preventDefault();
  const next = last.cloneNode(true);
  const number = Number(last.dataset.number) + 1;
  next.dataset.number = String(number);
  next.classList.remove("is-removed");
  next.querySelectorAll(".error").forEach((error) => error.remove());
  next.querySelectorAll("[name], [id], [for], [aria-describedby]").forEach((part) => {
    for (const name of ["name", "id", "for", "aria-describedby"]) {
      const value = part.getAttribute(name);
      if (value) part.setAttribute(name, value.replace(/lines-\d+/, `lines-${number}`));
    }
    part.removeAttribute("aria-invalid");
    if (part.type === "checkbox") part.checked = false;
    else if ("value" in part) part.value = "";
  });
  last.after(next);
  next.querySelector("select, input, textarea").focus();
});

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

// --- Badges rest while nobody looks -----------------------------------------------------------------

document.addEventListener("htmx:beforeRequest", (event) => {
  if (document.hidden && event.target.closest("[data-live]")) event.preventDefault();
});
document.addEventListener("visibilitychange", () => {
  if (document.hidden || !window.htmx) return;
  document.querySelectorAll("[data-live]").forEach((live) => window.htmx.trigger(live, "resume"));
});

// --- On a narrow screen the menu scrolls: where we are is in sight ---------------------------------

document.querySelectorAll(".menu [aria-current], .tabs [aria-current]").forEach((here) => {
  here.scrollIntoView({ inline: "center", block: "nearest" });
});
