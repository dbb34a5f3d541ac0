// Looks at the page in the frame and leaves what it found in the document.
const page = document.getElementById('page');
const found = {};
const inside = page.contentDocument, view = page.contentWindow;
const all = (selector) => [...inside.querySelectorAll(selector)];
const visible = (element) => {
  const box = element.getBoundingClientRect();
  return box.width > 0 && box.height > 0 && view.getComputedStyle(element).visibility === 'visible';
};
found.title = inside.title;
found.dark = view.matchMedia('(prefers-color-scheme: dark)').matches;
found.width = view.innerWidth;
found.over = inside.documentElement.scrollWidth - inside.documentElement.clientWidth;
// what scrolls by itself may be wider than the page
const scrolls = (element) => element && (['auto', 'hidden'].includes(view.getComputedStyle(element).overflowX) || scrolls(element.parentElement));
found.wider = all('body *').filter((e) => e.getBoundingClientRect().right > view.innerWidth + 0.5 && !scrolls(e.parentElement)).map((e) => e.outerHTML.slice(0, 120));
found.bubbles = all('.bubble').filter(visible).map((e) => e.className.split(' ').slice(1).join(' '));
found.texts = all('.bubble.text').map((e) => e.textContent);
found.hidden = all('.bubble, .happening, h1, h2, h3, h4, svg use, .replies li').filter((e) => !visible(e)).map((e) => e.outerHTML.slice(0, 120));
found.requested = view.performance.getEntriesByType('resource').map((entry) => entry.name);
found.headings = all('h1, h2, h3, h4').map((e) => Number(e.tagName[1]));
found.scripts = all('script, img, iframe, link, object, embed, video, audio, form').length;
found.nameless = all('[role=img], [role=region], [role=group], article, ul.buttons, ul.replies').filter((e) => !e.getAttribute('aria-label')).map((e) => e.outerHTML.slice(0, 120));
found.links = all('a[href]').map((e) => e.href);
found.marks = all('.picture .scroll use').length;
found.waits = all('.picture .scroll .moved').length;
const channels = (colour) => {
  const parts = (colour.match(/[\d.]+/g) || []).map(Number);
  const scale = colour.startsWith('color(') ? 255 : 1;
  return [parts[0] * scale, parts[1] * scale, parts[2] * scale, parts.length > 3 ? parts[3] : 1];
};
const over = (top, below) => [0, 1, 2].map((i) => top[i] * top[3] + below[i] * (1 - top[3])).concat(1);
const behind = (element) => {
  if (!element) return [255, 255, 255, 1];
  const own = channels(view.getComputedStyle(element).backgroundColor);
  return own[3] >= 1 ? own : over(own, behind(element.parentElement));
};
const opacity = (element) => element ? Number(view.getComputedStyle(element).opacity) * opacity(element.parentElement) : 1;
const light = (c) => { const [r, g, b] = c.slice(0, 3).map((v) => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
const contrast = (element) => {
  const back = behind(element), front = channels(view.getComputedStyle(element).color);
  front[3] *= opacity(element);
  const [one, other] = [light(over(front, back)), light(back)].sort((a, b) => b - a);
  return (one + 0.05) / (other + 0.05);
};
const own = (element) => [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
// a Flex message has the colours of its author
found.faint = all('body *').filter((e) => !e.closest('svg') && !e.closest('.bubble.flex') && own(e) && contrast(e) < 4.5)
  .map((e) => contrast(e).toFixed(2) + ' ' + e.outerHTML.slice(0, 120));
const bytes = new TextEncoder().encode(JSON.stringify(found));
document.getElementById('found').textContent = btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(''));
