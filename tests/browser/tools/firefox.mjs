// A Firefox window that does what it is told: a JSON line in, a JSON line out. See firefox.py.
import puppeteer from "puppeteer-core";
import { createInterface } from "node:readline";

const [executablePath, userDataDir, preferences] = process.argv.slice(2);
const extraPrefsFirefox = JSON.parse(preferences);
const browser = await puppeteer.launch({ browser: "firefox", executablePath, userDataDir, extraPrefsFirefox });
const [page = await browser.newPage()] = await browser.pages();
const WAIT = 30_000;
page.setDefaultTimeout(WAIT);

// A page that is just being replaced by the next one has no elements to ask for: look again in that one.
async function settled(look) {
  for (const until = Date.now() + WAIT; ; await new Promise((later) => setTimeout(later, 50))) {
    try {
      return await look();
    } catch (error) {
      if (Date.now() > until || !/context|detached|navigat|no such (frame|node)|discarded/i.test(error.message)) throw error;
    }
  }
}
const find = (css, options = {}) => settled(() => page.waitForSelector(css, options));

const does = {
  goto: (address) => page.goto(address, { waitUntil: "load" }),
  address: () => page.url(),
  press: (css) => settled(() => page.locator(css).click()),
  fill: (css, text) => settled(() => page.locator(css).fill(text)),
  upload: async (css, file) => (await find(css)).uploadFile(file),
  texts: (css) => settled(() => page.$$eval(css, (found) => found.map((each) => each.textContent))),
  wait: (css, seconds) => find(css, { visible: true, timeout: seconds * 1000 }),
  gone: (css) => find(css, { hidden: true }),
};

for await (const line of createInterface({ input: process.stdin })) {
  const [name, ...given] = JSON.parse(line);
  try {
    const answer = await does[name](...given);
    console.log(JSON.stringify({ answer: ["address", "texts"].includes(name) ? answer : null }));
  } catch (error) {
    console.log(JSON.stringify({ error: `${name} ${given[0] ?? ""} at ${page.url()}: ${error.message}` }));
  }
}
await browser.close();
