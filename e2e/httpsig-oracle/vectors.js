'use strict';
// Writes docs/spec/vectors/signature/tree.json to standard output: node vectors.js. Every byte follows from this file, so that the vectors can be
// made anew and compared.
const { signTree, sha256, createPrivateKey, createPublicKey } = require('./tree.js');

const ed25519 = createPrivateKey({
  format: 'der',
  type: 'pkcs8',
  key: Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), sha256(Buffer.from('countersign test key ed25519, never for use'))]),
});
const p256 = createPrivateKey({
  format: 'jwk',
  // The key of RFC 9421, B.1.3.
  key: {
    kty: 'EC', crv: 'P-256', d: 'UpuF81l-kOxbjf7T4mNSv0r5tN67Gim7rnf6EFpcYDs',
    x: 'qIVYZVLCrPZHGHjP17CTW0_-D9Lfw0EkjqF7xB4FivA', y: 'Mc4nN9LTDOBhfoUeg8Ye9WedFRhnZXZJA12Qp0zZ6F0',
  },
});
// ECDSA signs differently each time; this signature of the root of the tree "three, P-256" was made once.
const p256Signature = Buffer.from('ULT8LpwV9FX1iT+xJomucHIckSq7X3dIXV8B8Aj0VnjUh/5Gk2QDDQalp6eaW1/fAoW2R8mL5/iIUSdjQVJugQ==', 'base64');

const domains = ['countersign-tree request', 'countersign-tree response', 'countersign-tree receipt', 'countersign-tree trailer'];
const items = (size) => Array.from({ length: size }, (_, n) => ({
  domain: domains[n % domains.length],
  nonce: sha256(Buffer.from(`nonce ${n} of ${size}`)).subarray(0, 16),
  message: n === 0 ? Buffer.alloc(0) : Buffer.from(`message ${n} of ${size}`),
}));

const b64 = (b) => b.toString('base64');
const spki = (key) => b64(createPublicKey(key).export({ format: 'der', type: 'spki' }));
const pkcs8 = (key) => b64(key.export({ format: 'der', type: 'pkcs8' }));

function tree(name, keyName, key, size, fixed) {
  const all = items(size);
  const signed = signTree(key, all, fixed);
  return {
    name,
    key: keyName,
    root: signed.root.toString('hex'),
    messages: all.map((i, n) => ({ domain: i.domain, nonce: i.nonce.toString('hex'), message: b64(i.message), wire: b64(signed.wires[n]) })),
  };
}

const trees = [
  ...[1, 2, 3, 4, 5, 7, 8, 13].map((size) => tree(`${size}`, 'ed25519', ed25519, size)),
  tree('three, P-256', 'p256', p256, 3, p256Signature),
];

// Each refused case is the last message of the tree of five with one thing changed.
const good = trees[4].messages[4];
const bytes = Buffer.from(good.wire, 'base64');
const change = (at, value) => {
  const b = Buffer.from(bytes);
  b[at] = value === undefined ? b[at] ^ 1 : value;
  return b;
};
const refused = [
  ['empty', Buffer.alloc(0)],
  ['version 0', change(0, 0)],
  ['version 2', change(0, 2)],
  ['algorithm 0', change(1, 0)],
  ['algorithm of another key', change(1, 2)],
  ['algorithm 3', change(1, 3)],
  ['index beside', change(3, 3)],
  ['index beyond', change(3, 5)],
  ['size 0', change(5, 0)],
  ['size 6', change(5, 6)],
  ['size 1025', Buffer.concat([bytes.subarray(0, 4), Buffer.from([4, 1]), bytes.subarray(6)])],
  ['root', change(6)],
  ['nonce', change(38)],
  ['path', change(54)],
  ['signature, first byte', change(bytes.length - 64)],
  ['signature, last byte', change(bytes.length - 1)],
  ['a byte short', bytes.subarray(0, bytes.length - 1)],
  ['a byte long', Buffer.concat([bytes, Buffer.from([0])])],
  ['path left out', Buffer.concat([bytes.subarray(0, 54), bytes.subarray(bytes.length - 64)])],
  ['path doubled', Buffer.concat([bytes.subarray(0, 86), bytes.subarray(54)])],
].map(([name, b]) => ({ name, key: 'ed25519', domain: good.domain, message: good.message, wire: b64(b) }));
refused.push(
  { name: 'another domain', key: 'ed25519', domain: domains[1], message: good.message, wire: good.wire },
  { name: 'another message', key: 'ed25519', domain: good.domain, message: b64(Buffer.from('message 3 of 5')), wire: good.wire },
  { name: 'another key', key: 'other', domain: good.domain, message: good.message, wire: good.wire },
);

const other = createPrivateKey({
  format: 'der',
  type: 'pkcs8',
  key: Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), sha256(Buffer.from('another test key'))]),
});

if (require.main === module) {
  process.stdout.write(JSON.stringify({
    about: 'countersign-tree: Merkle trees of messages with one signed root. The keys are for tests only.',
    keys: {
      ed25519: { private: pkcs8(ed25519), public: spki(ed25519) },
      p256: { private: pkcs8(p256), public: spki(p256) },
      other: { private: pkcs8(other), public: spki(other) },
    },
    trees,
    refused,
  }, null, 1) + '\n');
}
