// A second verifier of exported shows, written from README.md alone: node verify.mjs FILE... [--seal SEAL]
// For each file one line of JSON: {file, problems, exceptions, entries, seal}. Exit code 1 where a rule was broken.
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

// What a kind adds, times its quantity, to on hand, held and committed.
const ADDS = {
  BEGIN: [1, 0, 0], STOCK: [1, 0, 0], HOLD: [0, 1, 0], RELEASE: [0, -1, 0], ORDER: [0, -1, 1], TAKE: [0, 0, 1],
  RETURN: [0, 0, -1], SHIP: [-1, 0, -1], WAIT: [0, 0, 0], LEAVE: [0, 0, 0], PROMOTE: [0, 1, 0],
};
const sha256 = (...parts) => parts.reduce((hash, part) => hash.update(part), createHash("sha256")).digest("hex");
const demand = (holds, problem) => {
  if (!holds) throw new Error(problem);
};

function hashOf(before, product, [seq, at, tx, kind, variant, quantity, number, partial, onHand, held, committed, waiting, rule]) {
  const flag = partial === null ? "" : partial ? "t" : "f";
  const text = [product, seq, at, tx, kind, variant ?? "", quantity, number ?? "", flag, onHand, held, committed, waiting, rule ?? ""];
  return sha256(Buffer.from(before, "hex"), text.join("|"));
}

const free = (variant) => variant.counts[0] - variant.counts[1] - variant.counts[2];
const headOf = (variant) => Math.min(...variant.queue.keys());

function checkHeads(state) {
  if (state.closed || state.deleted) return;
  for (const variant of state.variants.values()) {
    if (!variant.queue.size || free(variant) <= 0) continue;
    const { wanted, partial } = variant.queue.get(headOf(variant));
    demand(!partial && free(variant) < wanted, `number ${headOf(variant)} was kept waiting`);
  }
}

function wholeProduct(state, kind, variant, quantity, counts) {
  demand(variant === null && quantity === 0 && counts.every((count) => count === 0), `${kind} is of the whole product`);
  demand(!state.deleted, "of a deleted product");
  if (kind === "DELETE") state.deleted = true;
  else {
    demand(state.closed === (kind === "OPEN"), `${kind} changes nothing`);
    state.closed = kind === "CLOSE";
  }
}

function begin(state, id, quantity, [, held, committed, waiting]) {
  demand(!state.variants.has(id), "a variant begins twice");
  demand(waiting === 0 && (!state.began || (held === 0 && committed === 0)), "begins with units that somebody has");
  state.variants.set(id, { counts: [quantity, held, committed], queue: new Map() });
}

function queueStep(state, variant, kind, quantity, number, partial, rule, exceptions) {
  const there = state.closed ? 0 : free(variant);
  const { queue } = variant;
  if (kind === "HOLD" || kind === "TAKE") demand(queue.size === 0, "units went past somebody who waited");
  if (kind === "HOLD") demand(!state.closed, "taken while sold out by hand");
  if (kind === "WAIT") {
    demand(number === state.numbers + 1, `number ${number} follows ${state.numbers}`);
    demand(typeof partial === "boolean", "does not say whether a part will do");
    demand(there <= 0 || queue.size > 0, "made to wait while units were free");
    state.numbers = number;
    queue.set(number, { wanted: quantity, partial });
  } else if (kind === "LEAVE") {
    demand(queue.delete(number), `number ${number} does not wait`);
  } else if (kind === "PROMOTE") {
    demand(queue.has(number), `number ${number} does not wait`);
    const head = headOf(variant);
    demand(number === head || rule, `number ${number} was served before number ${head}`);
    if (number !== head) exceptions.push(`number ${number} before number ${head}: ${rule}`);
    const { wanted, partial: partWillDo } = queue.get(number);
    queue.delete(number);
    demand(quantity === Math.min(wanted, there) && (quantity === wanted || partWillDo), `number ${number} got ${quantity} of ${wanted}`);
  } else demand(number === null && partial === null && rule === null, `${kind} names a place in a queue`);
}

function take(state, entry, exceptions) {
  demand(Array.isArray(entry) && entry.length === 14, "is not an entry");
  const [seq, , tx, kind, id, quantity, number, partial, ...rest] = entry;
  const [counts, [rule, hash]] = [rest.slice(0, 4), rest.slice(4)];
  demand(seq === state.seq + 1, `${state.seq + 1} is missing`);
  demand(hashOf(state.last, state.id, entry) === hash, "its hash is not that of what it says");
  [state.seq, state.last] = [seq, hash];
  if (tx !== state.tx) checkHeads(state);
  state.tx = tx;
  if (["CLOSE", "OPEN", "DELETE"].includes(kind)) return wholeProduct(state, kind, id, quantity, counts);
  demand(Object.hasOwn(ADDS, kind), `there is no kind ${kind}`);
  demand(Number.isInteger(quantity) && (quantity > 0 || kind === "STOCK" || (quantity === 0 && (kind === "BEGIN" || kind === "LEAVE"))), `${kind} of ${quantity}`);
  demand(quantity !== 0 || kind !== "STOCK", "STOCK of nothing");
  if (kind === "BEGIN") begin(state, id, quantity, counts);
  else {
    state.began = true;
    const variant = state.variants.get(id);
    demand(variant, "a variant that never began");
    demand(!state.deleted || !["HOLD", "TAKE", "WAIT", "PROMOTE"].includes(kind), "of a deleted product");
    queueStep(state, variant, kind, quantity, number, partial, rule, exceptions);
    ADDS[kind].forEach((sign, at) => (variant.counts[at] += sign * quantity));
  }
  const variant = state.variants.get(id);
  const counted = [...variant.counts, variant.queue.size];
  demand(counted.every((count, at) => count === counts[at]), `counts ${counts}, but it is ${counted}`);
  demand(Math.min(...counted, free(variant)) >= 0, `more was sold than there is: ${counted}`);
}

export function verify(file) {
  const show = file?.data ?? file;
  if (show?.format !== "dorami-show/1" || !Array.isArray(show.products)) return { problems: ["no show"], exceptions: [], entries: 0, seal: "" };
  const [problems, exceptions, heads] = [[], [], new Map()];
  let entries = 0;
  for (const product of show.products) {
    const state = { id: product?.id, seq: 0, last: "00".repeat(32), tx: null, closed: false, deleted: false, numbers: 0, began: false, variants: new Map() };
    try {
      demand(!heads.has(product.id), "is there twice");
      heads.set(product.id, product.head);
      for (const entry of product.entries) {
        entries += 1;
        take(state, entry, exceptions);
      }
      checkHeads(state);
      demand(state.last === product.head, "the chain does not end at its head");
    } catch (error) {
      problems.push(`${state.id} ${state.seq}: ${error.message}`);
    }
  }
  const seal = sha256([...heads].sort(([a], [b]) => (a < b ? -1 : 1)).map(([id, head]) => `${id}${head}`).join(""));
  return { problems, exceptions, entries, seal };
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const at = process.argv.indexOf("--seal");
  const seal = at < 0 ? null : process.argv[at + 1];
  const files = process.argv.slice(2, at < 0 ? undefined : at);
  let code = 0;
  for (const file of files) {
    const report = verify(JSON.parse(readFileSync(file, "utf8")));
    if (seal !== null && seal !== report.seal) report.problems.push("the seal is another");
    if (report.problems.length) code = 1;
    console.log(JSON.stringify({ file, ...report }));
  }
  process.exitCode = code;
}
