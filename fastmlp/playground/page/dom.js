/** Elements in one call, and groups of which the Tab key visits one member. */

const SVG = "http://www.w3.org/2000/svg";
const SVG_TAGS = new Set(["svg", "path", "rect", "g"]);

/**
 * Return a new element.
 *
 * @param {string} tag `tag.class.class`
 * @param {object} attributes functions are listeners of the event of that name
 * @param {...(Node|string)} children
 */
export function h(tag, attributes = {}, ...children) {
  const [name, ...classes] = tag.split(".");
  const element = SVG_TAGS.has(name)
    ? document.createElementNS(SVG, name)
    : document.createElement(name);
  element.classList.add(...classes);
  for (const [key, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(key, value);
    else if (typeof value === "boolean") element.toggleAttribute(key, value);
    else element.setAttribute(key, value);
  }
  element.append(...children);
  return element;
}

let names = 0;

/** Return an id that no other element of the document has, of any playground. */
export const newId = () => `fastmlp-${++names}`;

/**
 * Let the Tab key visit one of `members`, and arrow keys move among them.
 *
 * @param {Element[]} members the first is the one that Tab visits
 * @param {(index: number, key: string) => number} next the index to go to
 */
export function roving(members, next) {
  const visit = (index) => {
    members.forEach((member, i) =>
      member.setAttribute("tabindex", i === index ? 0 : -1),
    );
  };
  members.forEach((member, index) => {
    member.addEventListener("focus", () => visit(index));
    member.addEventListener("keydown", (event) => {
      if (!event.key.startsWith("Arrow")) return;
      event.preventDefault();
      members[next(index, event.key)]?.focus();
    });
  });
  visit(0);
}
