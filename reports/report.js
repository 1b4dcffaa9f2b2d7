"use strict";
(function () {
  const ledger = document.querySelector("#claims");
  const buttons = ledger.querySelectorAll(".filters button");

  function show(verdict) {
    for (const button of buttons) {
      button.setAttribute("aria-pressed", String(button.dataset.verdict === verdict));
    }
    for (const group of ledger.querySelectorAll("tbody")) {
      let visible = 0;
      for (const row of group.querySelectorAll("tr[data-verdict]")) {
        row.hidden = ![row.dataset.verdict, ""].includes(verdict);
        visible += row.hidden ? 0 : 1;
      }
      group.hidden = visible === 0;
    }
  }

  // A link into a folded or filtered part opens it.
  function reveal() {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (target === null) {
      return;
    }
    if (target.hidden || target.closest("tbody[hidden]") !== null) {
      show("");
    }
    const folded = target.closest("details");
    if (folded !== null) {
      folded.open = true;
    }
    target.scrollIntoView();
  }

  for (const button of buttons) {
    button.addEventListener("click", () => show(button.dataset.verdict));
  }
  for (const tile of document.querySelectorAll(".tile")) {
    tile.addEventListener("click", () => show(tile.dataset.verdict));
  }
  window.addEventListener("hashchange", reveal);
  reveal();
})();
