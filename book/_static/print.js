// On paper a page is light, and proofs and solutions are open; the code of plots stays folded.
"use strict";

(() => {
  const root = document.documentElement;
  let opened = [];
  let theme;

  addEventListener("beforeprint", () => {
    theme = root.dataset.theme;
    root.dataset.theme = "light";
    opened = [...document.querySelectorAll("main details:not([open]):not(.tag_hide-input > *)")];
    for (const folded of opened) folded.open = true;
  });

  addEventListener("afterprint", () => {
    root.dataset.theme = theme;
    for (const folded of opened) folded.open = false;
  });
})();
