// A report of what is wrong on a page says which section its reader was in: the one in view, and
// from the foot of the page the last one at which the page stood still for a while before.
"use strict";

const STILL = 3000; // ms

/** The section that begins last above the middle of the window. */
const sectionInView = () => {
  const above = heading =>
    heading.checkVisibility() && heading.getBoundingClientRect().top < innerHeight / 2;
  const copy = [...document.querySelectorAll("article :is(h2, h3)")].findLast(above)?.cloneNode(true);
  copy?.querySelector(".headerlink")?.remove();
  return copy?.textContent.trim();
};

let lastRead;
let timer;
const wait = () => {
  clearTimeout(timer);
  timer = setTimeout(() => {
    const foot = document.querySelector(".vgglab-about");
    if (foot && foot.getBoundingClientRect().top > innerHeight) lastRead = sectionInView();
  }, STILL);
};
wait();
addEventListener("scroll", wait, { passive: true });

for (const pressed of ["click", "auxclick"]) {
  addEventListener(pressed, event => {
    const link = event.target.closest('a[href*="template=page.yml"]');
    if (!link) return;
    const section = (link.closest(".vgglab-about") && lastRead) || sectionInView();
    if (!section) return;
    const address = new URL(link.href);
    address.searchParams.set("section", section);
    link.href = address;
  }, true);
}
