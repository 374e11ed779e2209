// The field above the index of equations: shows the equations in which all the typed words occur.
document.addEventListener("DOMContentLoaded", () => {
  const place = document.querySelector(".equation-filter");
  if (!place) return;
  const cards = [...document.querySelectorAll(".equation-card")];
  const texts = cards.map((card) => card.textContent.toLowerCase());
  const sections = [...document.querySelectorAll("section section")].filter((s) => s.querySelector(".equation-card"));

  const label = document.createElement("label");
  label.htmlFor = "equation-filter-input";
  label.textContent = "Show the equations with";
  const input = document.createElement("input");
  input.type = "search";
  input.id = "equation-filter-input";
  input.placeholder = "a label, a function, a test, a status";
  const count = document.createElement("span");
  count.setAttribute("role", "status");
  place.replaceChildren(label, input, count);

  const apply = () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    cards.forEach((card, i) => {
      card.hidden = !words.every((word) => texts[i].includes(word));
      shown += !card.hidden;
    });
    for (const section of sections) section.hidden = !section.querySelector(".equation-card:not([hidden])");
    count.textContent = words.length ? `${shown} of ${cards.length}` : "";
  };
  input.addEventListener("input", apply);
});
