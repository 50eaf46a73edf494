// A report of what is wrong on a page says which section its reader had in view.
"use strict";

for (const pressed of ["click", "auxclick"]) {
  addEventListener(pressed, event => {
    const link = event.target.closest('a[href*="template=page.yml"]');
    if (!link) return;
    const inView = heading =>
      heading.checkVisibility() && heading.getBoundingClientRect().top < innerHeight / 2;
    const heading = [...document.querySelectorAll("article :is(h2, h3)")].findLast(inView);
    if (!heading) return;
    const copy = heading.cloneNode(true);
    copy.querySelector(".headerlink")?.remove();
    const address = new URL(link.href);
    address.searchParams.set("section", copy.textContent.trim());
    link.href = address;
  }, true);
}
