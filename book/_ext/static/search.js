// What people type here, in the words of the index. Sphinx ignores numbers, which are what a shape
// error has; it takes 400x400 for one word; and it wants every word, in the book's own wording.
"use strict";

const OTHER_WORDS = {
  necessary: "needed",
  unnecessary: "needed",
  dimension: "size",
  dimensions: "size",
  resolution: "size",
  resizing: "resize",
  colour: "channel",
  rgb: "channel",
  grayscale: "grey",
  greyscale: "grey",
  gray: "grey",
  fc: "fully connected",
  dense: "fully connected",
  batchnormalization: "batchnorm",
  normalization: "normalisation",
  avgpool: "average pooling",
  maxpool: "max pooling",
  finetune: "fine-tuning",
  finetuning: "fine-tuning",
  heatmap: "class activation",
  neuron: "cell",
  calculate: "compute",
  error: "",
  runtimeerror: "",
  why: "",
  how: "",
};

const inWordsOfTheBook = query =>
  query
    .toLowerCase()
    .replace(/(\d),(?=\d{3}\b)/g, "$1")
    .replace(/(\d)\s*[x×*·]\s*(?=\d)/g, "$1 ")
    .replace(/\p{L}+/gu, word => (Object.hasOwn(OTHER_WORDS, word) ? OTHER_WORDS[word] : word));

const parse = Search._parseQuery;
Search._parseQuery = query => parse(inWordsOfTheBook(query));

const perform = Search._performSearch;
Search._performSearch = (query, words, excluded, highlighted, objects) => {
  const numbers = query.match(/(?<![\w.])\d+(?![\w.])/g) ?? [];
  const ask = wanted => perform(query, new Set(wanted), excluded, highlighted, objects);
  // Tables write 138,357,544, which the index takes apart.
  const groups = numbers.flatMap(n => (n.length > 3 ? Number(n).toLocaleString("en").split(",") : n));
  // A pasted message may have any numbers: what no page has must not hide those that explain it.
  for (const wanted of [[...words, ...numbers], [...words, ...groups], [...words]]) {
    const found = wanted.length ? ask(wanted) : [];
    if (found.length) return found;
  }
  // Nothing has all of the words: first, which is last here, comes what has most of them.
  const has = new Map();
  for (const word of [...words, ...numbers]) {
    for (const result of ask([word])) {
      const [page, , , , score] = result;
      const known = has.get(page) ?? { result, count: 0, score: 0 };
      has.set(page, { result: known.result, count: known.count + 1, score: known.score + score });
    }
  }
  return [...has.values()]
    .sort((a, b) => a.count - b.count || a.score - b.score)
    .map(known => known.result);
};
