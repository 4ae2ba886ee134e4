// Names under .localhost are this machine (RFC 6761, 6.3); Node.js leaves that to resolvers that may not know.
const dns = require("node:dns");

const here = (options) => (options?.all ? [{ address: "127.0.0.1", family: 4 }] : { address: "127.0.0.1", family: 4 });
const lookup = dns.lookup;
const lookupLater = dns.promises.lookup;

dns.lookup = (name, options, callback) => {
  if (!name.endsWith(".localhost")) return lookup(name, options, callback);
  const answer = callback ?? options;
  return process.nextTick(() => (options?.all ? answer(null, here(options)) : answer(null, "127.0.0.1", 4)));
};
dns.promises.lookup = (name, options) =>
  name.endsWith(".localhost") ? Promise.resolve(here(options)) : lookupLater(name, options);
